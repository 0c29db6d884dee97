"""Stores that are reached over a network, or lie in another folder: objects by digest, sent and fetched."""
