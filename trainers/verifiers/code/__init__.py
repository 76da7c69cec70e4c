"""Programs that models write, run in a locked-down process, and pass@k.

locks      rlimits, Landlock, dropped capabilities and the system-call filter of the calling process
filters    which system calls a locked process may make
child      the program of the locked process
sandbox    starts, watches and ends one locked process
extract    the program in a reply
score      a reply against tests, or against inputs and expected outputs
passes     pass@k, unbiased
"""
