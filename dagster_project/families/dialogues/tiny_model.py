"""A tiny model that can hold a dialogue: trained for a minute on questions about Python's own documentation."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from catalog.files import write_whole
from catalog.settings import Settings

MODULES = (
    "argparse array ast asyncio base64 bisect calendar codecs collections configparser contextlib copy csv "
    "ctypes datetime decimal difflib dis email enum fileinput fnmatch fractions ftplib functools gettext glob "
    "gzip hashlib heapq hmac html http imaplib importlib inspect io ipaddress itertools json locale logging "
    "lzma mailbox math mimetypes multiprocessing numbers operator os pathlib pickle pkgutil platform plistlib "
    "pprint queue quopri random re sched secrets selectors shelve shlex shutil signal smtplib socket "
    "socketserver sqlite3 ssl statistics string struct subprocess symtable sysconfig tarfile tempfile textwrap "
    "threading timeit tokenize trace traceback types typing unicodedata unittest urllib.parse urllib.request "
    "uuid warnings wave weakref webbrowser xml.dom xml.sax zipfile zlib "
).split()
"""Modules of the standard library."""

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}AGENT: {% elif m['role'] == 'user' %}USER: {% endif %}"
    "{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}AGENT: {% endif %}"
)
"""The form of the texts that the model reads, as a chat template."""

RUN = "130k-0.5xC"
SEQUENCE_LENGTH = 1024
"""Tokens of a prompt and its reply: the plan and the turns of a dialogue."""
VOCABULARY = 2048
HELDOUT = 200
"""Texts that are held out."""


def texts() -> Iterator[str]:
    """Yield a text for each documented name of MODULES: a question and its documentation, in the form of TEMPLATE."""
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for path, value in _documented(module, name):
            document = inspect.getdoc(value) or ""
            paragraphs = [" ".join(part.split()) for part in document.split("\n\n") if len(part.split()) > 4][:3]
            if paragraphs:
                more = "".join(f"USER: Tell me more.\nAGENT: {part}\n" for part in paragraphs[1:])
                yield f"USER: What does {path} do?\nAGENT: {paragraphs[0]}\n{more}USER: Thank you. DONE\n"


def _documented(module: object, name: str) -> Iterator[tuple[str, object]]:
    for key in sorted(vars(module)):
        value = vars(module)[key]
        if key.startswith("_") or not (inspect.isroutine(value) or inspect.isclass(value)):
            continue
        yield f"{name}.{key}", value
        for inner in sorted(vars(value)) if inspect.isclass(value) else ():
            if not inner.startswith("_") and inspect.isroutine(vars(value)[inner]):
                yield f"{name}.{key}.{inner}", vars(value)[inner]


def train_tiny_model(settings: Settings, run: str = RUN) -> Path:
    """Train the tiny model, unless it has been trained; return the folder of its run, with its chat template.

    Raises:
        WatershedError: the trainer failed.
    """
    from dagster_project.engine.trainer_process import run_trainer

    found = list(dict.fromkeys(texts()))
    digest = hashlib.sha256(json.dumps([found, run, SEQUENCE_LENGTH, VOCABULARY]).encode()).hexdigest()[:16]
    folder = settings.files_root / "dialogues" / "tiny" / digest
    out = folder / "run"
    if not (out / "result.json").exists():
        _write_shards(folder / "shards", found, digest)
        places = {"shards": str(folder / "shards"), "out": str(out), "device": settings.trainer.device}
        run_trainer("trainers.pretrain", {"preset": run, **places}, "tiny model")
    write_whole(out / "chat_template.jinja", TEMPLATE.encode())
    return out


def _write_shards(folder: Path, found: list[str], digest: str) -> None:
    """Write the texts as training and held-out shards, with their tokenizer."""
    from spark_jobs.shards.format import token_dtype, write_dataset, write_manifest, write_shard
    from spark_jobs.shards.tokenizer import EOT, encode, tokenizer_bytes, train_tokenizer
    from spark_jobs.shards.writer import lay_out

    tokenizer = train_tokenizer(found, VOCABULARY)
    order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    for split, chosen in (("train", order[HELDOUT:]), ("heldout", order[:HELDOUT])):
        tokens = [encode(tokenizer, text) for text in chosen]
        names = [str(number) for number in range(len(chosen))]
        dtype = token_dtype(tokenizer.get_vocab_size())
        stream = lay_out(names, ["python"] * len(chosen), tokens, SEQUENCE_LENGTH, dtype)
        sizes = {"text_bytes": sum(len(text.encode()) for text in chosen), "sources": {"python": stream.sequences.size}}
        write_manifest(folder / split, [write_shard(folder / split, split, 0, stream.sequences, **sizes)])
    write_whole(folder / "tokenizer.json", tokenizer_bytes(tokenizer))
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "sequence_length": SEQUENCE_LENGTH, "eot": EOT, "seed": 0}
    write_dataset(folder, fingerprint=digest, **sizes)
