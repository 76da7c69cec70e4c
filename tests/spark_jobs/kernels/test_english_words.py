"""Words are those of spaCy's tokenizer for English, as datatrove calls it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from made_texts import EDGE_CASES, random_texts

from spark_jobs.kernels.english_tables import exception_pieces
from spark_jobs.kernels.peers.spacy_joins import MOST_WORDS
from spark_jobs.kernels.peers.spacy_words import cut_words, english_words, split_without_special_strings

with contextlib.redirect_stderr(io.StringIO()):
    from datatrove.utils.text import split_into_words

SHARED = os.environ.get("WATERSHED_SHARED")


def assert_equal_to_spacy(texts: list[str]) -> None:
    for text, found in zip(texts, english_words(pa.array(texts)), strict=True):
        assert found == split_into_words(text), repr(text[:300])


def test_edge_cases_and_random_texts() -> None:
    assert_equal_to_spacy([*EDGE_CASES, *random_texts(400, seed=7)])


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith can't pay $5, i.e. US$ 5.50 (or 5€)!",
        "don’t I'm it’s they've y'all cannot gonna whore whores 'tis rock'n'roll O'Neill's dogs' 's",
        "id. Id. e.g., etc. a.m. 10am 10a.m. 12pm U.S. U.S.A. Ph.D. A. AB. aB. 1. x). (x.) [x]. “x.” x...",
        "10km 10km² 5m/s 5G 3.5% 100$ 5US$ 5 US$5 C$3 10°C. 10°c. 4K 10px 2x 1st 5's",
        "well-known e-mail x--y x---y x----y a–b a—b a——b 1-2 1--2 1-a a-1 a - b -a a- - -- ---",
        "a.b a.B A.b A.B foo.Bar 3.14 1,000 a,b a,1 x:y x:1 1:x x=y x=1 x/y 1/2 and/or x<y a>b a~b 2*3 2^3 2+3 +5 + 5+",
        "http://example.com/a?b=c https://a.b www.ex.com example.com. (example.com) e@x.org m@host u:p@ex.org:80/x",
        "8.8.8.8/x 127.0.0.1/x 10.0.0.1/a 256.1.1.1/a 192.168.0.1/a 1.2.3.4:8080/a 1.2.3.4:8/a 01.2.3.4/a host:80/a",
        "ftp://x.yz/ x://y.zz/ xx://y.zz/a a_b.cd _a.bc/d a-.bc/d a.b_/c " + "a" * 64 + ".com/x " + "a" * 65 + ".com/x",
        ":) ;-) :( x:) foo): (:) ((:)) =) =] [= xD :D ><(((*> (^_^) ¯\\(ツ)/¯ (╯°□°）╯︵┻━┻ ಠ_ಠ 8-) o_O 0.0 <3 </3",
        "''quoted'' \"x\" ‘x’ ’s ‘s «x» x… …x x……y x……… ..x x.. x..y ... . .. x.y.z.",
        "C++ c++ C# x++ #x *x* **x** _x_ __x__ `x` ``x`` &amp; <b> </b> x{y}z x(y) x[y] x|y x\\n \\n \\t @x x@ ^x",
        "中文。没有 日本語、カ。 한국어. 한국어? русский.Текст слово-слово Ελλάδα. ÄÖ. äö. ñ. É. É.É. ②x x☃y 😀x",
        "tab\tand\u00a0nbsp\u3000wide\x1cfs\u200bzero x\u2028y  double   triple \r\n\r\n x",
        "1" * 200 + "a" * 200 + "." * 100 + "'" * 70 + "-" * 70 + "x" * 130 + ",",
    ],
)
def test_by_kind(text: str) -> None:
    assert_equal_to_spacy([text, *text.split(), text.replace(" ", "\n"), text.replace(" ", "")])


@pytest.mark.parametrize("glue", ["", "—", "•", "\u200b", "\ufeff", "é", "ß", "中", "²", "_", "²3", "İ", "x—", "“"])
def test_a_scheme_consists_of_letters_digits_and_underscores_of_any_script(glue: str) -> None:
    addresses = ("http://example.com/a", "https://a.b.org:80/x?y=z", "://x.com/a", "x.com/a", "m@x.org", "8.8.8.8/x")
    texts = [f"see{between}{glue}{address}." for address in addresses for between in ("", " ")]
    assert_equal_to_spacy([*texts, *(glue + address for address in addresses)])


@pytest.mark.parametrize(
    "text",
    [
        "great:):) :):) :):):) ok :-(:) (:): (:):) (:(: :(:( ((: )): =):) :)=) ;):( :-):-) :-(:-( 8):) :))) (((:",
        "it is :-(°C bad :-(ß x°C.… 10°C.°/ °C.°C. (°c.) °F.☃ x:-((( y:-(((z :'-( :'):) <3<33 <333<3 </3<3",
        ": (:class: : (: : ( : ) a: (:b ) :c ( :) :( x) : y (: =) [= ]= : )) : ((( :( ) -_- _-_ (-_-) (^_^)^_^;_;",
        "e.g.,i.e. (e.g.:i.e.) 1a.m.x 12p.m.;x Mr.:Mrs. a.:b. x-e.g.-y Jan./Feb. 'Cause:'cause it's:he's don't:can't",
    ],
)
def test_overlapping_strings_with_pieces_of_their_own(text: str) -> None:
    assert_equal_to_spacy(
        [text, *text.split(), text.replace(" ", ""), text.replace(" ", "\n"), text.replace(" ", "  ")]
    )


def test_random_texts_of_signs_that_emoticons_are_made_of() -> None:
    draw = random.Random(11)
    signs = ":;()[]-=8 °Cß^_'0.o3</>D*"
    special = sorted(text for text in exception_pieces() if not text.isalpha())
    texts = ["".join(draw.choices(signs, k=draw.randrange(2, 14))) for _ in range(3_000)]
    texts += ["".join(draw.choices([*special, *signs, "x", "\n"], k=draw.randrange(2, 9))) for _ in range(2_000)]
    assert_equal_to_spacy(texts)


def test_sequences_are_those_that_spacy_looks_for() -> None:
    import spacy

    full: Any = spacy.blank("en").tokenizer
    affixes = full.prefix_search, full.suffix_search, full.infix_finditer, full.token_match, full.url_match
    bare = type(full)(full.vocab, None, *affixes)
    assert split_without_special_strings(list(full.rules)) == [
        [word.text for word in bare(text) if not word.is_space] for text in full.rules
    ]
    assert max(len(bare(text)) for text in full.rules) <= MOST_WORDS


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of recorded cases")
def test_texts_that_were_cut_otherwise_before() -> None:
    lines = (Path(str(SHARED)) / "data" / "cases" / "faults" / "words.json").read_text().splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    assert english_words(pa.array([row["text"] for row in rows])) == [row["authors"] for row in rows]


def test_strings_with_pieces_of_their_own() -> None:
    strings = sorted(exception_pieces())
    around = ("{}", "({})", "{},", "x {}. y", "a-{}", "{}'s", '"{}"')
    assert_equal_to_spacy([" ".join(pattern.format(text) for text in strings) for pattern in around])


def test_every_character_before_behind_and_within_a_word() -> None:
    spans = ((0, 0x3100), (0xA700, 0xA800), (0xF900, 0xFB50), (0xFE00, 0x10000), (0x1F000, 0x1FB00))
    characters = [chr(code) for first, last in spans for code in range(first, last)]
    # What is not assigned has no say in texts, and spaCy has one such among capital letters.
    assigned = [character for character in characters if unicodedata.category(character) not in ("Cn", "Cs")]
    for pattern in ("{0}x", "x{0}", "x{0}y 1{0}1", "X.{0}z.{0}", "a{0}.", "{0}{0}. 1{0}"):
        assert_equal_to_spacy([" ".join(pattern.format(character) for character in assigned)])


def test_every_length_around_a_block() -> None:
    patterns = ["a", "né ", "a.b ", "1,2;", "it's ", "中", "... ", "x, ", "(a) "]
    assert_equal_to_spacy([(pattern * 140)[:size] for pattern in patterns for size in range(60, 70)])


def test_slices_and_null_texts() -> None:
    texts = pa.array(["ab c", None, "don't stop.", "x"])
    assert english_words(texts[1:3]) == [[], ["do", "n't", "stop", "."]]


def test_words_do_not_depend_on_what_was_cut_before() -> None:
    # More runs than are remembered, so that places are taken again and again.
    many = " ".join(f"f(x{number % 9_000}), it's-{number}. ({number % 7})" for number in range(20_000))
    texts = [*EDGE_CASES, many, *random_texts(60, seed=8), many[::-1], *EDGE_CASES, many]
    alone = [found for text in texts for found in english_words(pa.array([text]))]
    assert english_words(pa.array(texts)) == alone


def test_words_cut_for_several_that_count_them_are_the_same() -> None:
    texts = ["don't stop.", None, "", *EDGE_CASES, "né (x…) 中文。", *random_texts(60, seed=9), None]
    words = cut_words(pa.array(texts))
    spelt = []
    for text, first, behind in zip(texts, words.ends, words.ends[1:], strict=False):
        data = (text or "").encode()
        found = [data[words.starts[i] : words.stops[i]].decode() for i in range(first, behind)]
        assert list(words.lengths[first:behind]) == [len(word) for word in found]
        spelt.append(found)
    assert spelt == english_words(pa.array(texts))
