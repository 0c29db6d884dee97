"""Seeds, the mode that decides bits, and fingerprints."""
