"""Texts made here: the edge cases that web pages bring, and random ones from characters that matter."""

from __future__ import annotations

import random

EDGE_CASES = [
    "",
    " ",
    "\n",
    "\n\n\n",
    " \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2003\u2028\u2029\u202f\u3000",
    "word",
    "!",
    "... . . . … # -- *",
    "The best of the best, to BE with THAT.",
    "the\u00a0the\u3000THE\x1fthe\vthe",
    "theo the, xthe thé Have",
    "a\r\nb\r\n\r\na\r\nb\r\n",
    "a\n \nb\n\nc\n\n\n\nd\n\n \n\nd",
    "\n\nsame\nsame\n\nsame\nsame",
    "● one\n• two\n* three\n- four\n  five\n\u00a0- six\n-",
    "one...\ntwo. . .\nthree…\nfour.. .\nfive...  \n...",
    ".......... . . . . . . .. . . ..... .",
    "tab\tseparated\tvalues\there\ttab\tseparated\tvalues\there",
    "non\u00a0breaking\u00a0space non\u00a0breaking\u00a0space",
    "can't can’t 3.14 1,000;2 a.b a:b a.1 1.a _a a_ a_b __ 1_000 x.y.z e.g. U.S.A.",
    "word\u0301 \u0301word \n\u0301word a\u00ad-b so\u00adft 1\u00ad.\u00ad2 a.\u0301b a\u0301.b",
    "中文没有空格所以每个字都是一个词。中文没有空格。",
    "日本語のテキスト、カタカナとひらがな。テキスト テキスト ｶﾀｶﾅﾞ ﾞ",
    "ไทยไม่มีช่องว่าง भारत नमस्ते 한국어 텍스트 한국어",
    "עברית שָׁלוֹם العربية مرحبا بالعالم ١٢٣",
    "😀 😀😀 👨‍👩‍👧 🇩🇪🇫🇷 1️⃣ ½ ² Ⅷ ٣ 𝟘𝟙 𠀀𠀁",
    "İstanbul İstanbul STRASSE Straße ΣΑΣ σας K Å ﬁ",
    "zero\u200bwidth\u200dspace\u200cand\ufeffmark",
    "nul\x00byte nul\x00byte",
    "x" * 100_000,
    "long line of words " * 3000,
    "né " * 500 + "\n" + "é" * 700,
    "a b c d e f g h i j k l m n o p. " * 4,
    "hello world hello\n world hello. apple world hello world hello world hello world",
    "def __init__ _a.b _1 _é __ _\u0301c ‿d _ _中 \u24b6bc \u24b6 __" + " _private" * 20,
    "_" * 70 + "x " + "_" * 130 + " y" + "_" * 61 + "z",
    "a" * 62 + ".b " + "c" * 61 + "é.d " + "e" * 63 + "\u0301f " + "g" * 60 + " 1.2",
]

ALPHABET = [
    *" \t\n\n\n\r\v\f\0\x1c\x85\xa0\u2003\u3000\u200b\u200d\u200c\ufeff\xad.....  ,:;'’#…●•*-_",
    *"abcdeTHEtheofBE0123456789¼²٣中国语あアーﾞกาאב\u0301\u0308éÉİßK한국🇩🇪🇫😀\U0001d7d8\U00020000",
    *"the of. a.b 1,2 word don't".split(" "),
]


def random_texts(count: int, seed: int) -> list[str]:
    """Short texts out of few characters, many of them special: bounds, repetition, blocks' ends."""
    generator = random.Random(seed)
    texts = ["".join(generator.choices(ALPHABET, k=generator.randrange(150))) for _ in range(count)]
    vocabulary = ["a", "bb", "ccc.", "the", "é", "中", "\n", "\n\n", "- x"]
    return texts + [" ".join(generator.choices(vocabulary, k=generator.randrange(90))) for _ in range(count // 2)]
