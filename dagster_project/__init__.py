"""Orchestration: the Dagster assets, checks, partitions and jobs of every table, and the command line."""
