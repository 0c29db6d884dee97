"""What a run depends on: source, environment, hardware."""
