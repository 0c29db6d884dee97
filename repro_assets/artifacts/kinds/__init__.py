"""Value to manifest and objects, and back; one kind per module."""
