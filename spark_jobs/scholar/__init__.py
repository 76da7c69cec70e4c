"""Scientific answers with citations.

citations   citation precision and recall of ScholarQABench (arXiv 2411.14199)
rouge       ROUGE-L
cs2         the four metrics of ScholarQA-CS2 (AstaBench, arXiv 2510.21652)
"""
