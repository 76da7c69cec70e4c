"""A small encoder with random weights, for machines without published ones: a BERT of two layers over word pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trainers.embedding.config import NEW
from trainers.process.files import whole_folder
from trainers.process.optional import need

PIECES = 8192
WIDTH, LAYERS, HEADS, LONGEST = 128, 2, 2, 256
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_encoder(place: Path, texts: Sequence[str], seed: int) -> None:
    """Write the folder of a small encoder of sentence-transformers: word pieces of `texts`, weights drawn by `seed`.

    The folder is the same for the same texts and seed.

    Raises:
        TrainerError: sentence-transformers is not installed.
    """
    need("sentence_transformers", "transformers", work="making an encoder")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    tokenizer = _word_pieces(texts)
    shape = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LONGEST,
    )
    with whole_folder(place) as folder:
        base = folder / "base"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            BertModel(shape).save_pretrained(str(base))
        names = {f"{mark[1:-1].lower()}_token": mark for mark in MARKS}
        words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **names)
        words.save_pretrained(str(base))
        modules: list[Any] = [
            Transformer(str(base), max_seq_length=LONGEST),
            Pooling(WIDTH, pooling_mode="mean"),
            Normalize(),
        ]
        SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
        for left in sorted(base.iterdir()):
            left.unlink()
        base.rmdir()


def base_encoder(encoder: str, place: Path, texts: Sequence[str], seed: int) -> Path:
    """The folder of the encoder that a run begins with.

    Args:
        encoder: a folder, or "new" for a small encoder that is made once.
        place: the folder of the new one.
        texts: what its word pieces are learnt from.
        seed: draws its weights.
    """
    if encoder != NEW:
        return Path(encoder)
    if not (place / "modules.json").is_file():
        make_encoder(place, texts, seed)
    return place


def _word_pieces(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=PIECES, special_tokens=list(MARKS), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    begin, end = (("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]")))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[begin, end]
    )
    return tokenizer
