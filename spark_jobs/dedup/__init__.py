"""Deduplication: clusters of equal and nearly equal documents, paragraph Bloom filters, repeated substrings."""
