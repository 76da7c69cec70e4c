"""Spark itself: the session, its Java and jars, and one Delta transaction a write."""
