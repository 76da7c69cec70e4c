"""Model definitions. They know nothing of optimisers, devices or parallelism."""
