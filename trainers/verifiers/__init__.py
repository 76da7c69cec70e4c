"""Scorers of replies that a training step may call: text in, a score from 0 to 1 and a reason out.

    verdict        what a verifier returns
    answers        where the final answer stands in a reply
    gsm8k, math    the last number; equality of mathematical expressions, in a worker process
    exact, choice  exact answers; multiple choice
    instructions   the 25 kinds of IFEval and the 29 of IFTrain, strict and loose
    rubric         weighted criteria that a judge has scored
    code           programs in a locked-down process; pass@k
    workers        worker processes with a deadline, for libraries that may hang

The same reply gets the same verdict in every order, thread and process. Nothing here draws random numbers, sets a
signal handler or imports another room.
"""
