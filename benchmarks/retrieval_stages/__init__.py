"""The stages of benchmarks.retrieval."""
