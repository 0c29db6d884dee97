"""The catalog as a folder of pages that opens from the disk, in any browser and without a network."""
