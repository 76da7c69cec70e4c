"""Training data: WebDataset shards checked before the first step, shuffled by seed and resumed exactly."""
