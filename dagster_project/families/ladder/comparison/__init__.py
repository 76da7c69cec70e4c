"""Comparison of two mixtures: the small runs, the decision which mixture is better at the target, and its report."""
