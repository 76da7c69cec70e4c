"""What commands show: progress bars, tables, prompts, errors and the summary at the end of a demo."""
