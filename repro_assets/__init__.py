"""Machine-learning results as Dagster assets: traceable, findable and provably reproducible."""

__version__ = "0.1.0"
