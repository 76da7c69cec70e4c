"""Predictions of a fastText model as compiled kernels, and the format of its model file."""
