"""Family `router`: domains in BEIR's layout, experts that a router chooses among, and their comparison.

Source: RouterRetriever (arXiv 2409.02685).
"""
