"""Running the same assets on several machines: configuration of Dagster, workers, images. Nothing here computes."""
