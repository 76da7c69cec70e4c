"""Spark: the session, its Java and jars, and reading and replacing Delta tables."""
