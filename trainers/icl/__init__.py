"""In-context evaluation of language models: DCLM's tasks, their prompts, scores and aggregates."""
