"""Data that people bring: files of any common format become rows of a table, under a contract that is proposed once.

`sources.py` finds the files, `reading.py` reads them through DuckDB, `names.py` names columns, `personal.py` guesses
which hold personal data, `proposal.py` proposes the contract, and `breaking.py` names the rows that break it.
"""
