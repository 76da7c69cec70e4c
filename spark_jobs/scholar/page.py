"""An answer as HTML, whose citations open their passages: a page that needs no server, or a part of another page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0a5c8f; --quiet: #5c5c5c; --bad: #b3191b;
        --ground: #fff; --mark: #ffe58a; }
@media (prefers-color-scheme: dark) {
  :root { --accent: #7cc4f0; --quiet: #a8a8a8; --bad: #ff8f8a; --ground: #121212;
          --mark: #5a4a00; }
}
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
       overflow-wrap: anywhere; background: var(--ground); }
h1 { font-size: 1.4rem; line-height: 1.3; } h2 { font-size: 1rem; margin-top: 2rem; }
a { color: var(--accent); } .facts, .where { color: var(--quiet); font-size: .85rem; }
.cite { text-decoration: none; font-size: .85em; white-space: nowrap; }
.mark { background: #c62a; border-radius: .2rem; padding: 0 .25rem; font-size: .8em; color: inherit; }
.failure { border-left: .25rem solid #c62; padding-left: .75rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .6rem 0; padding: .5rem .8rem; }
details:target { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
summary { cursor: pointer; } blockquote { margin: .5rem 0; padding-left: .8rem; border-left: .2rem solid var(--line); }
.passage { white-space: pre-wrap; background: var(--soft); padding: .6rem; border-radius: .3rem; font-size: .92rem; }
mark { background: var(--mark); color: inherit; } .withdrawn { color: var(--bad); font-weight: 600; }
"""
OPEN = """
const open = () => { const d = document.getElementById(location.hash.slice(1));
 if (d instanceof HTMLDetailsElement) { d.open = true; d.scrollIntoView({block: "center"}); } };
addEventListener("hashchange", open); open();
for (const a of document.querySelectorAll("a.cite")) a.addEventListener("click", () => setTimeout(open));
"""
WEB = re.compile(r"https?://", re.IGNORECASE)
CITED = re.compile(r"\[(\d{1,4}(?:, \d{1,4})*)\]|\[(not supported|no source|quotation removed: [^\]]{1,80})\]")


def answer_page(found: Mapping[str, Any]) -> str:
    """Return the page of an answer, given as `records.as_json` has it. Every text of others is escaped."""
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\"><title>{title}</title><style>{style}</style></head>\n<body><main>"
        "{article}</main><script>{script}</script></body></html>\n"
    ).format(title=found["question"], style=Markup(STYLE), article=answer_article(found), script=Markup(OPEN))


def answer_article(found: Mapping[str, Any]) -> Markup:
    """Return the question, the answer and its references as HTML, for a page with `STYLE` and `OPEN`.

    Args:
        found: as `records.as_json` or `recorded.recorded_answer` has it. Every text of others is escaped.
    """
    if found["text"] is not None:
        body = Markup("").join(Markup("<p>{}</p>\n").format(_cited(part)) for part in found["text"].split("\n\n"))
    else:
        body = Markup("<p>{}</p>").format(STATUS[found["status"]])
    counts = (
        f"{found['supported']} sentences supported, {found['not_supported'] + found['not_cited']} not supported, "
        f"{found['not_checked']} not checked"
    )
    return Markup(
        '<h1>{title}</h1><p class="facts">{written} &middot; {counts} &middot; answer {answer}</p>'
        "{failure}{body}<h2>{heading}</h2>{references}"
    ).format(
        title=found["question"],
        written=f"written by {found['model']}" if found["text"] is not None else "no model wrote this page",
        counts=counts if found["text"] is not None else f"{len(found['references'])} passages",
        answer=found["answer"],
        failure=Markup('<p class="failure">{}</p>').format(found["failure"]) if found["failure"] else "",
        body=body,
        heading="References" if found["text"] is not None else "Passages",
        references=Markup("").join(map(_reference, found["references"])),
    )


STATUS = {
    "passages_only": "No model was asked. These passages are nearest to the question, with the words that fit best.",
    "model_failed": "The model gave no answer. These passages are nearest to the question.",
    "no_passages": "The datastore has no passage for this question.",
    "answered": "",
}


def _cited(text: str) -> Markup:
    """Return a paragraph whose citations are links to their references."""
    parts, begin = [], 0
    for match in CITED.finditer(text):
        parts.append(escape(text[begin : match.start()]))
        if match[1]:
            links = (Markup('<a class="cite" href="#r{0}">{0}</a>').format(number) for number in match[1].split(", "))
            parts.append(Markup("[{}]").format(Markup(", ").join(links)))
        else:
            parts.append(Markup('<span class="mark">{}</span>').format(match[2]))
        begin = match.end()
    return Markup("").join([*parts, escape(text[begin:])])


def _reference(each: Mapping[str, Any]) -> Markup:
    url = str(each["url"] or "")
    # What is clicked to open the passage must hold no link of its own.
    link = Markup('<a href="{}" rel="noreferrer">the paper</a>, ').format(url) if WEB.match(url) else ""
    withdrawn = each.get("withdrawn")
    return Markup(
        '<details id="r{number}"><summary>[{number}] {title}{year}{withdrawn}<blockquote>{quoted}</blockquote>'
        "</summary>{passage}"
        '<p class="where">{link}id {paper}, version {version}, characters {first}–{last}, SHA-256 {digest}</p>'
        "</details>\n"
    ).format(
        number=each["number"],
        title=each["title"] or "untitled",
        year=f" ({each['year']})" if each["year"] else "",
        withdrawn=Markup(' <span class="withdrawn">{}</span>').format(withdrawn) if withdrawn else "",
        # What is forgotten is removed from the table.
        quoted=each["quoted"] or "",
        passage=_passage(each),
        link=link,
        paper=each["paper"],
        version=each["version"],
        first=f"{each['span']['begin']:,}",
        last=f"{each['span']['end']:,}",
        digest=each["digest"],
    )


def _passage(each: Mapping[str, Any]) -> Markup:
    """Return the passage of a reference with the quotation marked."""
    text = each["text"]
    if text is None:
        return Markup("<p>The datastore no longer has this passage.</p>")
    begin = each["quotation"]["begin"] - each["span"]["begin"]
    end = each["quotation"]["end"] - each["span"]["begin"]
    return Markup('<div class="passage">{}<mark>{}</mark>{}</div>').format(text[:begin], text[begin:end], text[end:])
