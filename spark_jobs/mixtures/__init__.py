"""Pretraining mixtures of any tables and files: read, filtered, deduplicated, decontaminated, drawn and sharded.

`sources` reads rows, `candidates` tokenises and filters them into files on the disk, `copies` and `examples` drop what
is copied or holds evaluation examples, `amounts` says how often each document is read, and `shards` writes what
trainers read. `making` puts them together; it computes in this process, with DuckDB, Arrow and compiled kernels.
"""
