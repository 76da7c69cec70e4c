"""Pages with addresses, dashes, emoticons and letters beyond ASCII inserted: where tokenizers are likely to differ.

A page is an excerpt of a real one. Pieces are inserted at random places, also within words, one for every
INSERTED_EVERY characters, and some are joined without white space.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

SEED = 13
EXCERPT_CHARACTERS = 800
INSERTED_EVERY = 25
"""Characters of the page for each inserted piece."""

ADDRESSES = (
    "http://example.com/a?b=c#d https://a.b.example:8080/x/ ftp://x.yz/~u www.example.org example.com. u@example.net "
    "mailto:me@x.org 8.8.8.8/x 10.0.0.1 127.0.0.1:80/a ://x.com/a x+y.z://host.de/p 例え.jp пример.рф/путь "
    "é://x.com/a git+ssh://a@b.io:22/c (http://a.bc) <https://d.ef/g> http://xn--e1afmkfd.com/ //cdn.io/x a.b.c.d.ef/ "
    "foo.Bar"
).split()
DASHES = ("—", "–", "―", "‐", "‑", "−", "-", "--", "---", " — ", " – ", "--- ", "…", "•", "·", "⁃", "\u00ad")
EMOTICONS = (
    ":) :-) :( :-( :)) :))) :(( (: (-: =) =] [= ;) ;-D :D xD XD 8) 8-) :P :o :/ :| :* :3 >:( :'( <3 </3 ^_^ -_- "
    "o_O 0.0 ._. (^_^) (._.) ¯\\(ツ)/¯ ಠ_ಠ (¬_¬) :):) :-(:) (:): :-(°C °C. : ( ) ] [ = ; 😀 👍🏽 "
    "👨\u200d👩\u200d👧 🇩🇪 ☃ ❤\ufe0f"
).split()
LETTERS = (
    *"é ß İ ı ſ \u212a \u212b ﬁ ŉ ǆ Ω ς Σ Ж ё Ъ א ש״ף צה״ל ع ك ² ½ Ⅷ ٣ ① ₂ 中 文。 日本語 カナ 한국 ก ไทย हिं ა".split(),
    *"ᏸ ﷼ ₹ ﬀ a\u0301 n\u0303 « » “ ” ’ ‘ „ ‚ ° µ № ™ ™. 𝔘 𐐀 ½kg 10² 5µm ¿ ¡ ؟ 、 ！".split(),
    *"\u202f\u00a0\u2009\u3000\u200b\u200d\u2060\ufeff\u2028\u0085",
)
PHRASES = (
    "JavaScript|JAVASCR\u0130PT|java\u017fcript|lorem ipsum|Use of Cookies.|use coo\u212aies.|uses cook\u0131es.|"
    "Privacy Policy.|pr\u0131vacy policy.|terms of use.|Terms of U\u017fe.|[1]|[edit]|[citation needed]|{|}|e.g.|i.e.|"
    "U.S.|a.m.|10a.m.|can't|don’t|it's|O'Neill's|'tis|US$5|5€|10km|It is known. It is.|What? Yes!"
).split("|")
_AROUND = ("", "", " ", "\n")
_GROUPS = (ADDRESSES, DASHES, EMOTICONS, LETTERS, PHRASES)


def mutated_pages(texts: Sequence[str], count: int) -> list[str]:
    """Excerpts of the texts with inserted pieces; the same for the same texts and count."""
    draw = random.Random(SEED)
    return [_mutated(draw.choice(texts), draw) for _ in range(count)]


def _mutated(text: str, draw: random.Random) -> str:
    begin = draw.randrange(max(len(text) - EXCERPT_CHARACTERS, 0) + 1)
    excerpt = text[begin : begin + EXCERPT_CHARACTERS]
    places = sorted(draw.choices(range(len(excerpt) + 1), k=1 + len(excerpt) // INSERTED_EVERY))
    pieces: list[str] = []
    behind = 0
    for place in places:
        pieces += [excerpt[behind:place], draw.choice(_AROUND), _piece(draw), draw.choice(_AROUND)]
        behind = place
    return "".join([*pieces, excerpt[behind:]])


def _piece(draw: random.Random) -> str:
    return "".join(draw.choice(draw.choice(_GROUPS)) for _ in range(draw.choice((1, 1, 1, 2, 3))))
