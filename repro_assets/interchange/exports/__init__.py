"""One module for each format that `repro export` writes."""
