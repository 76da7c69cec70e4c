"""Scenes of drawn pictures, of which everything is known: what is where, how many, which words, and what time it is."""
