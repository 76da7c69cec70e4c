"""The training loop and what every objective needs of it: optimiser, schedule, checkpoints and ranks."""
