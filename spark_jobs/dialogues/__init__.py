"""Self-directed dialogues (arXiv 2407.18421): from domains to preference pairs, each stage a function of rows to rows.

- `recipe`, `data`: the choices, and the files of principles and domains
- `prompts`, `reading`: what the model is asked, and how its replies are read
- `stages`, `conversation`: the requests of each stage
- `forms`, `adherence`, `diversity`, `statistics`: what is measured without a model
- `published`: collections that others published
"""
