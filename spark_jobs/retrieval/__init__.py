"""Search over passages, and its evaluation.

trec     relevance judgements and runs in the files of TREC
metrics  nDCG, recall, reciprocal rank and average precision, exactly as trec_eval computes them
"""
