"""Encoders of texts as vectors: contrastive training, low-rank experts, and a small encoder made here."""
