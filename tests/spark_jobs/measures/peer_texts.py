"""Texts to hold against peers: edge cases, random ones of pieces that filters look for, pages of documentation."""

from __future__ import annotations

import ast
import random
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy

EDGE_CASES = [
    "",
    " ",
    "\n",
    "\n\n\n",
    "word",
    "!",
    "... . . . … # -- *",
    " \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2003\u2028\u2029\u202f\u3000",
    "the be to of and that have with THE The the\0 of\0",
    "a\r\nb\r\n\r\na\r\nb\r\n",
    "a\rb\rc\x0bd\x0ce\x85f\u2028g\u2029h\x1ci\x1dj\x1ek",
    "\n\nsame\nsame\n\nsame\nsame\n\n\n\nsame\nsame\n",
    "\u2022 one\n- two\n* three\n  - four\n\u00a0• five\n-",
    "one...\ntwo. . .\nthree…\nfour.. .\nfive...  \n...\n......",
    "1 10 1 11 0 1 10 1 11 0 1 10 1 110 1 0 1 101 1 10 1 10 1 0 1 1 0 1 10 1",
    "12 1 3 4 5 6 1 21 3 4 5 6 12 1 3 4 5 6 7 8 9 10 11 1 2 1 3 4 5 6 7 8 9 10 11",
    # n-grams that begin alike and part late, and long ones that are equal though their words part elsewhere.
    " ".join(
        f"an unusually long beginning of every single repeated line before it parts at {n % 3} or" for n in range(9)
    ),
    "longwordswithout1 0anyspaces behind1 0them forseventy1 0bytes ormore " * 2
    + "longwordswithout 10anyspaces behind 10them forseventy 10bytes ormore " * 2,
    "one two three four five six seven eight nine ten " * 4,
    "a b c d e f g h i j k l m n o p. " * 4,
    "hello world hello\n world hello. apple world hello world hello world hello world",
    "tab\tseparated\tvalues\there\ttab\tseparated\tvalues\there",
    "non\u00a0breaking\u00a0space  double  space\u3000ideographic",
    "中文没有空格所以每个字都是一个词。中文没有空格。" * 3,
    "日本語のテキスト、カタカナとひらがな。テキスト テキスト ｶﾀｶﾅﾞ ﾞ",
    "עברית שָׁלוֹם العربية مرحبا بالعالم ١٢٣ हिन्दी नमस्ते। नमस्ते॥",
    "😀 😀😀 👨\u200d👩\u200d👧 🇩🇪🇫🇷 1️⃣ ½ ² Ⅷ ٣ 𝟘𝟙 𠀀𠀁 ☃.",
    "nul\x00byte nul\x00byte",
    "x" * 3000,
    "long line of words " * 3000,
    "né " * 500 + "\n" + "é" * 700,
    # What C4's filter looks for.
    'He said "yes." Then he left![1]\n[2] She stayed at home.[citation needed]\nNo end here\n[edit] It ends here. [3]',
    "Lorem Ipsum dolor sit amet. And so on.\nOne. Two! Three? Four. Five.",
    "lorem ipsum without an end\nOne and two. Two and three! Three or four? Four of five. Five of six.",
    "It uses JavaScript and lorem ipsum here.\nOne and two. Two and three! Three or four? Four of five. Five of six.",
    "It uses JavaScript and { here.\nOne and two. Two and three! Three or four? Four of five. Five of six.",
    "Our Privacy Policy and { here.\nOne and two. Two and three! Three or four? Four of five. Five of six.",
    "We use cookies here.\nTerms of Use are there.\nOne and two. Two and three! Three or four? Four. Five of six.",
    "[1] [2] [3] begins it.\n [4] And so it goes on...\nAnd on and on (it was said.)\n'Quoted it ends.'\nA b c…",
    "w" * 1001
    + " has a long word in it.\n"
    + "w" * 1000
    + " has not a longer one.\n[] empty one here. [12x] b [٣] c d.",
    "One.Two two.  Three three.\tFour?!  Five... Six.. Seven (eight.) nine.” Ten. \u00a0Eleven! 12.5 e.g. this, Mr. X.",
]
_SIGNS = "abcAB019.,:;!?'\"()[]{}<>#*-–—…/+=~^@%$&|\\_`’“”«»°§²é中ー한א\0"
_SPACES = (" ", " ", " ", "\n", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u2028", "  ", "\x1c")
_WORDS = (
    "the of and with be. to, have that The can't don’t it's I'm e.g. U.S. a.m. 10am 3.14 10km 5% US$ ... .. -- --- :) "
    ";-) (: id. Id. cannot www.example.com http://a.bc/d?e user@mail.org 8.8.8.8:80/x 127.0.0.1/x foo.Bar a-b x=y a/b "
    "1-2 2*3 lorem ipsum javascript JavaScript privacy policy use cookies [1] [edit] word. word! word? 😀 ☃ 10°C. 's"
)
PIECES = [*_SIGNS, *_SPACES, *_WORDS.split()]


def random_texts(count: int, seed: int) -> list[str]:
    """Short texts out of pieces, some with white space between them; and longer ones out of few words."""
    generator = random.Random(seed)
    texts = ["".join(generator.choices(PIECES, k=generator.randrange(90))) for _ in range(count)]
    texts += [" ".join(generator.choices(PIECES, k=generator.randrange(60))) for _ in range(count)]
    few = ["a", "bb", "ccc.", "the", "é", "1", "11", "\n", "\n\n", "- x"]
    return texts + [" ".join(generator.choices(few, k=generator.randrange(120))) for _ in range(count)]


@cache
def pages(count: int) -> list[str]:
    """Pages of documentation that come with Python and the packages installed, at most 5,000 characters each."""
    found = [(each.read_text("METADATA") or "").partition("\n\n")[2] for each in metadata.distributions()]
    for folder in (sysconfig.get_path("stdlib"), Path(next(iter(numpy.__path__)), "lib")):
        found += [text for file in sorted(Path(folder).glob("*.py")) if (text := _docstrings(file))]
    longest = [text[:5_000] for text in found if len(text) > 400]
    return random.Random(count).sample(sorted(set(longest)), min(count, len(set(longest))))


def _docstrings(file: Path) -> str:
    """What a module's documentation says, piece by piece."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = (n for n in ast.walk(tree) if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef)))
    return "\n\n".join(text for node in nodes if (text := ast.get_docstring(node)))
