"""What runs on an accelerator: torch, webdataset and NumPy only.

A trainer is its own process: it reads a folder of shards and a config file and hands back files. Nothing here
imports another room, Dagster or Spark, so it runs on a bare GPU machine.

    errors.py       one line of cause, one of mend
    names.py        names as people write them, in either case of letters
    files.py        atomic writes and digests
    models/         decoders, dense and of experts, and their loss; they know nothing of optimisers or ranks
    presets.py      one dial, "70k-2xC", sets every hyper-parameter; no torch, so a plan costs nothing
    permutation.py  a shuffle that is a function, not a list
    data.py         shard manifest, memory-mapped loader
    questions.py    multiple-choice questions as token arrays
    config.py       a run's configuration and its fingerprint
    schedule.py     learning rate over steps
    adamw.py        the optimiser
    ranks.py        torchrun's ranks, and tensors of which each holds a part
    balance.py      how evenly experts were used in a step
    checkpoint.py   digested checkpoints
    run_folder.py   one run a folder, one process at a time
    device.py       CPU or GPU, and its peak
    progress.py     progress lines for a parent process, and Dagster Pipes when it is there
    heldout.py      bits per byte on held-out shards
    icl/            in-context evaluations, DCLM's 53 tasks among them: python -m trainers.evaluate --config FILE
    ladder/         forecasts of large models from small runs
    pretrain.py     python -m trainers.pretrain --config run.yaml
    evaluate.py     python -m trainers.answer_questions --config eval.json
    hugging_face.py names and shapes in the Hugging Face format
    exchange.py     python -m trainers.exchange import|export|logits
    routing.py      python -m trainers.analyse_routing --checkpoint FOLDER --shards FOLDER --out FOLDER
    routing_*.py    its sums, its tables and its pictures
"""
