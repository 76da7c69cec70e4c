"""From a contract and a function to a Dagster asset: identity, partitions, checks, cost and trainer processes.

The engine knows no family.
"""
