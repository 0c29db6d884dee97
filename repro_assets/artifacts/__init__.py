"""Typed things with a manifest: kinds, handles, names and versions."""
