"""What runs on an accelerator: models, their training, their serving and their evaluation.

A trainer is its own process: it reads a folder of shards and a configuration file and writes files. Nothing here
imports another room, Dagster or Spark, so it runs on a bare GPU machine. It needs torch, NumPy and PyYAML; shards are
also read by webdataset; the Hugging Face format needs safetensors and tokenizers, GGUF files gguf, the server
starlette, uvicorn, pydantic, orjson and Jinja, results pyarrow, ladders SciPy, pictures matplotlib, mathematical
answers math-verify, languages fasttext, each imported where it is used.

A file at the top is a command: python -m trainers.COMMAND. Folders are engines, which know no family:

    process/      configuration file, run folder, whole files, device, errors, progress
    data/         sources and loaders: shards, shuffling, mixing by weight
    models/       decoders, dense and of experts; their loss, size and cost
    core/         the training loop and what it needs: objective, optimiser, checkpoints, ranks, worker threads
    serving/      a model that reads tokens in steps, tokenizers, and the server of OpenAI's protocol
    verifiers/    scorers of replies: answers, instructions, rubrics, programs in a locked-down process

or families, which use the engines:

    pretraining/  presets ("70k-2xC" sets every hyper-parameter), configuration, objective, held-out loss
    posttraining/ fine-tuning on chats, preferences, reward models, reinforcement learning from verified rewards
    icl/          in-context evaluation: DCLM's 53 tasks, prompts, multiple choice
    routing/      how a mixture of experts routes: counts, tables, pictures
    ladder/       forecasts of large models from small runs
"""
