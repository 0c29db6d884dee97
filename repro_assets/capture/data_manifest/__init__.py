"""Data manifests: what lies in a folder or is a file, hash by hash, at one moment; verified and compared later."""
