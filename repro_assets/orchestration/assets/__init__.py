"""One asset family per module."""
