"""What things cost, measured: one subject per module, run together by ``python -m benchmarks``."""
