"""A small project of another team, for tests."""
