"""Mathematical answers: are two expressions equal?

score    the verdict on a reply
minerva  Minerva's and Hendrycks's normalisations of an answer, for the published rule
worker   the process that calls math-verify and sympy
"""
