"""Evaluation text in documents: n-grams that a document shares with an evaluation example."""
