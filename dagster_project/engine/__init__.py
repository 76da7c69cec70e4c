"""The engine: turns a contract and a function into a Dagster asset.

It computes fingerprints, cuts assets into partitions, runs checks, measures cost, and starts trainer processes. Its
modules import no family.
"""
