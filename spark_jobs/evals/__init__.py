"""Multiple-choice questions made from held-out documents."""
