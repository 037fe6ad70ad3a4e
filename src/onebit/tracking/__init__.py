"""Object tracking with 1-bit Siamese networks: boxes, training pairs, the tracker, benchmarks and their scores."""
