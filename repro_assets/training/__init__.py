"""Recipes that make the reference experiment's data sets, models and evaluations; one recipe per file.

Laws: a recipe is given its run and draws every random number from a consumer of that run's seeds; it never reads or
moves a global generator; it sets no thread count and no determinism flag, the caller's mode does; it decides nothing
by the clock. Equal inputs, config, seed and mode give equal bits in every process. Recipes run on the CPU, SFT
on GPUs too.
"""
