"""What leaves a store, and comes into one, as files: bundles, attestations, and the formats of other programs."""
