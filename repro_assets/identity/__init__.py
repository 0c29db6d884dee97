"""What makes two things the same thing: digests, one canonical encoding, manifests."""
