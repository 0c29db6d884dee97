"""What happened: append-only records, one segment per process."""
