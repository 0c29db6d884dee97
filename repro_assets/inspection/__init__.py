"""Runs as a person looks at them: compared, grouped for a paper, and in notebooks."""
