"""Data cards: what a newcomer must know about a table, as Markdown."""
