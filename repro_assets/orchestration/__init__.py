"""Dagster: the only folder, beside definitions.py, that imports it."""
