"""A trainer as a process: its configuration file, run folder, device, errors and progress."""
