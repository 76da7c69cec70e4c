"""The output of commands: progress bars, tables, prompts, errors, and the summary at the end of a demo."""
