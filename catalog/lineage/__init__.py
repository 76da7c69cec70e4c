"""Where rows come from, and which models, shards and scores rest on them."""
