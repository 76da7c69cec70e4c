"""Search over everything that the lake holds: tables, views, columns, sources, and rows that families declare.

`index.py` keeps the words in SQLite's full-text index and follows the lake; `entries.py` says what is indexed,
`words.py` turns what people type into a query, and `made.py` sees which tables exist.
"""
