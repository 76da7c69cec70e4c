"""Which of two mixtures is better at the target: the runs, the decision and its report."""
