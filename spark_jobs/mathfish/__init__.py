"""Mathematical problems and the standards of the Common Core that they teach (MathFish, arXiv 2408.04226).

replies  what a reply to a tagging or verification prompt chooses
scores   the metrics of both tasks
"""
