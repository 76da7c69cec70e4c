"""Tulu 3's data (arXiv 2411.15124): from sources to mixtures, preferences and suites, each stage rows to rows.

- `sources`, `reading`: mixtures as YAML files, and the rows of their sources
- `filters`, `mixing`, `export`: what is left out, what is drawn, and the files that a trainer reads
- `decontamination`: evaluation instances in the prompts of training rows, by the published rule and a strict one
- `prompts`, `personas`: prompts, and those that a model writes for a persona and a verifiable constraint
- `completions`, `aspects`, `pairs`: replies of several models, a judge's scores, and pairs
- `suites`, `asking`, `task_scores`: the declared evaluations, what models are asked, and scores without a verifier
- `comparing`: paired differences with the smallest that could be seen
- `data`: the mixtures, constraints, personas, skills and suites that come with Watershed
"""
