"""Bytes by digest: durable writes, verified reads."""
