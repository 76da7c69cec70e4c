"""Texts made here, of what edits look for and what looks like it."""

from __future__ import annotations

import random

LONG = "x" * 70
EDGE_CASES = [
    "",
    " ",
    "\n",
    "\n\n\n\n",
    "word",
    "!",
    " \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2003\u2028\u2029\u202f\u3000",
    "\u3000\n  \nlead and trail \n\x85\n\n",
    "a\r\nb c\r\n\r\n12\r\nTHE END\r\n3 likes\r\n",
    "UPPER\nlower\nÉTÉ été\nШШ\nΣΑΣ\n\u01c5\u24b6\nİI\n½² ³\n١٢٣\n12 34\n𝟘𝟙\n",
    "中文没有空格\n日本語 テキスト\n한국어 텍스트 셋\n",
    "😀 😀\n👨‍👩‍👧\n😀\n",
    "one\none two\none\u00a0two\none\u3000two three\n \n\u2003\n" + "w " * 50 + "\n",
    "3 likes\n3,000 Likes!\n... 5.1M  likes ...\n123k\u00a0VIEWS\n3 li\u212aes\n3\u212a likes\n٣ likes\n² likes\n",
    "3likes\n3 likess\n3 likes and more\na 3 likes\n3 downvotes\n3.,.,4b followers\n3 l\u0130kes\n3 likes \u0130\n",
    'End.\nEnd \nEnd!\u00a0\nEnd...\nEnd…\nEnd..\n...\n…\nEnd"\nEnd?\r\n.\n..\n\n',
    "[1][edit] a [] b [12 ] [citation needed] [citation  needed] [٣٤] [[5]] [5",
    "See http://www.example.com/a(b)?c=d&e#f, (x.org) and ftp://me:you@host.co.uk:21/~u end.com",
    "th a.com\u00e9 b.com\u0301 c.com_ d.com- e.COM f.Com g.comm .com ..com @.org x.\u0440\u0444 y.\u4e2d\u56fd/z",
    "th site.\u092d\u093e\u0930\u0924\u092e\u094d site.\u092d\u093e\u0930\u0924",
    "th a.verm\u00f6gensberater/x a.verm b.com.\u0440\u0444z b.com.\u0440\u0444/z a.com.\u0440",
    "th " + LONG * 4 + ".com " + LONG * 3 + ".net.org x",
    "th http://" + LONG * 4 + ".com http://" + LONG * 3 + ".com",
    "th one" + " " * 15 + "two.com" + "\u3000" * 12 + "https://three.de\n\n\n1.1.1.1",
    "th one" + " " * 15 + "two.com three" + "\u3000" * 13 + "1.1.1.1 four",
    "th xhttp://a.com yhttp://1.2.3.4 http:/b.com https:///c.com ftp://.com http://d.com.",
    "1.2.3.4 299.1.1.1 300.1.1.1 1.300.1.1 1.1.1.300 1.2.3 1.2.3.4.5 v1.2.3.4 é1.2.3.4 _1.2.3.4 -1.2.3.4",
    "1234.1.1.1 1.1.1.12345/x 12.34.56.78:90 1.2.3.\n4 ١.1.1.1 01.02.03.04 1..2.3.4 0.1.2.3.4 1.2.3.x",
    "http://10.0.0.1:8080/x \t\n https://1.1.1.1xyz ftp://1.1.1.1 9http://2.2.2.2",
    "JavaScript must be enabled\n\nabout JavaScript.\njava script enabled ",
    "items in cart\n  items in cart  \n7 ITEMS IN CART now\n\u0130tems in cart\nitem\u017f in cart\nitemsincart\n \n",
    "Sign-in\nsign-in now\nplease sign-in\nSIGN-IN\n\u017fign-in x\nsign\u2010in\n",
    "Please read more...\nread more!!!\nread more\nRead more..\n read more... \nread more...\nand read more…\n",
    "same\nSame \n same\n\nsame\n\nother\n\nsame\n\nΣΑΣ\nσας\nσασ\nİ\ni\u0307\ni\n",
    "ΣΑΣ\nσας",
    "İ\ni\u0307",
    "a b\n\n a b\n\nA B\n\n\na b\n\n\n\na b",
    "mail a@b.co or <x.y+z@sub.domain.org>, a@b, é.f@g.hi, .a@b.cd, a@[1.2.3.4], a@b.c-, @b.cd a@b.cd@e.fg",
    "8.8.8.8 192.168.0.1 1.8.8.8.8 888.8.8.8 256.256.256.256 01.02.03.04 127.0.0.1 1234.5.6.7",
    "call (555) 123-4567 or 555.123.4567, 5551234567 555 123 4567x +1 555-123-4567 (555)123-4567\u00a0555-123-4567",
    LONG + "." + LONG + "." + "a" * 50 + ".com\n" + "\n" * 130 + LONG,
    ("word " * 20 + "\n") * 30 + "tail",
]
PIECES = [
    *" \t\n\n\n\n\n\r\u00a0\u3000\x1c\x85",
    *("a", "b", "w", "é", "É", "ß", "中", "😀", "\u0301", "\u212a", "\u0130", "\u017f", "İ", "Σ", "ς", "_"),
    *("1", "22", "٣", "²", "3", "255", "0", ".", ".", ".", "..", "...", "…", ",", "-", "!", "?", '"', "/", ":", "@"),
    *("http://", "https://", "ftp://", "www.", ".com", ".org", ".de", ".co.uk", ".\u0440\u0444", ".中国", "1.2.3.4"),
    *(
        "likes",
        " Likes",
        " views",
        " 3 ",
        "K",
        "m",
        "THE ",
        "And ",
        "the ",
        "word ",
        "WORD ",
        "[",
        "]",
        "[1]",
        "[edit]",
    ),
    *("items in cart", "Items In Cart", "read more...", "Read more", "Sign-in", "sign-in ", "x" * 20, "\n\n", "\n\n\n"),
]


def random_texts(count: int, seed: int) -> list[str]:
    """Short texts out of such pieces."""
    draw = random.Random(seed)
    beginnings = ["", "", "th ", "In ", "q "]
    return [draw.choice(beginnings) + "".join(draw.choices(PIECES, k=draw.randrange(60))) for _ in range(count)]
