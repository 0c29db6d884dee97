"""One asset family per module. Dagster reads annotations, so these modules do not postpone them."""
