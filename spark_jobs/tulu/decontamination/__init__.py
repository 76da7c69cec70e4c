"""Evaluation instances in the prompts of training rows: Tulu 3's rule (arXiv 2411.15124, section 3.2) and a strict one.

- `instances`: evaluations from JSON-lines files, each with the fields that are searched for
- `index`: their n-grams, and which of them must be met before an instance can overlap
- `search`: which rows overlap which instances, exactly, in batches
- `decide`: what is counted for each pair of data set and evaluation, and what is decided

**published** is the rule as open-instruct's code counts it (decontamination/search.py): a token of a field matches if
an 8-gram that has it occurs in the row; of an n-gram that a field repeats, only the last position counts. The score is
the mean of the fields' shares of matching tokens, so a field of fewer than 8 tokens contributes 0. An instance with a
missing field is in neither numerator nor denominator. An instance overlaps when its score exceeds 0.5.

**strict** mends this: every position of a repeated n-gram counts; missing fields are left out and the others compared;
a field of fewer than 8 words matches as a whole, if the row has all its words in a row. An instance overlaps when more
than half of a field of at least 8 words matches, or more than half of all its words together. It therefore finds all
that the published rule finds. An instance of fewer than three words in all is not searched for: any row would hold it.

Words are segments between Unicode word boundaries in lower case, where the published code has spaCy's tokens and a
search server's analyser. Both rules here use the same words, so their difference is that of the rules.
"""
