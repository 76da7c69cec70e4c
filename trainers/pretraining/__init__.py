"""Pretraining: presets, the configuration of a run, and what is measured besides its loss."""
