"""The run handle that every recipe is given."""
