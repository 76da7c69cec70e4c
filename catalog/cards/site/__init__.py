"""The static site of a lake: a page a table, a page a model, the pages of families, and search, from plain files."""
