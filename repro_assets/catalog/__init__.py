"""The DuckDB projection of the journal; it can be deleted and rebuilt at any time."""
