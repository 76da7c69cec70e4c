"""Where rows come from, and which models, shards and scores depend on them."""
