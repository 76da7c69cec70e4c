"""Instructions that a program can verify: the 25 kinds of IFEval and the 29 of IFTrain.

    texts     words, sentences, paragraphs and the language of a reply
    kinds     what a kind is, and its arguments
    ifeval    the 25 kinds of IFEval (arXiv 2311.07911)
    iftrain   the 29 kinds that open-instruct adds (IFEvalG, for training with verifiable rewards)
    register  all kinds by id
    follow    a reply against a list of instructions, strict and loose

Every check is a pure function of the reply and the arguments. An argument that is missing is an error and never drawn
at random, and the loose variant uses the same bound check as the strict one.
"""
