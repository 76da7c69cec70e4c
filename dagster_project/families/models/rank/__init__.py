"""The local page on which people choose between two answers to a question, and what their choices say of models."""
