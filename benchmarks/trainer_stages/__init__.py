"""What trainers are measured on: an optimiser step, and reading sequences."""
