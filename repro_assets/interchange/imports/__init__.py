"""One module for each format that `repro import` reads, beside the bundle."""
