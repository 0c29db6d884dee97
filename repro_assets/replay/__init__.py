"""Execute a run again from its record and compare the bits."""
