"""What a field yields: a small project of another team."""
