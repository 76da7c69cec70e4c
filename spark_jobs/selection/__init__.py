"""Which documents are taken for training, and how often: mixture recipes, quantiles and buckets."""
