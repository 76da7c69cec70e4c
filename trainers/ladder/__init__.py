"""Published or own ladders of small runs: read, choose a protocol by hold-outs, forecast large models, plan."""
