"""Language models that answer: loading, tokenizers and log-likelihoods."""
