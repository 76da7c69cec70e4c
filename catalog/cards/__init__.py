"""Data cards: what a stranger must know of a table, as Markdown."""
