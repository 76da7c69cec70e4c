"""Mathematical problems and the standards of the Common Core that they teach (MathFish, arXiv 2408.04226).

curriculum  the tree of standards, the map of prerequisites, and the groups of domains
reading     files of problems, labels and teachers' verdicts, as published
made        a small curriculum and problems of Watershed's own, in the published forms
labels      labels standardised and inherited to the level of standards
tasks       verification and tagging: positives, five kinds of negatives, options
prompts     the words of the prompts, with zero, one and three worked examples
task_files  the format of allenai/mathfish-tasks
replies     what a reply to a tagging or verification prompt chooses
scores      the metrics of both tasks; `graph` those of a traversal
asking      prompts asked through the language-model client; self-guided traversal
alignment   teachers' verdicts and a model judge; `agreement` between raters
"""
