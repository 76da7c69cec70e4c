"""The 25 kinds of IFEval (arXiv 2311.07911, table 1), as google-research/instruction_following_eval checks them.

What differs from the published code, each for a defect of it:

- Keywords, section names and postscript markers are text, not regular expressions, so `C++` does not crash.
- A missing argument is an error; the published code draws one at random whenever it is called.
- Languages come from lid.176 instead of langdetect, which is random; a text without letters has no language. The
  published code passes such a text.
- Sentences and words in capitals come from rules of our own instead of NLTK's models, which are downloaded.
- Patterns are searched in linear time. `NaN` and deep nesting are no JSON.
"""

from __future__ import annotations

import json
import re

from trainers.verifiers.instructions.kinds import compared, count, kind, language, letter, positive, raw_text, relation
from trainers.verifiers.instructions.kinds import text as one_text
from trainers.verifiers.instructions.kinds import texts as many_texts
from trainers.verifiers.instructions.texts import compounds, divided, is_language, sentences, words

CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
FENCES = ("```json", "```Json", "```JSON", "```")


@kind("keywords:existence", keywords=many_texts)
def keywords_exist(reply: str, keywords: tuple[str, ...]) -> str:
    """Include every keyword, in any case of letters and inside longer words too."""
    missing = [keyword for keyword in keywords if keyword.lower() not in reply.lower()]
    return f"the keyword {missing[0]!r} is missing" if missing else ""


@kind("keywords:frequency", keyword=one_text, frequency=count, relation=relation)
def keyword_frequency(reply: str, keyword: str, frequency: int, relation: str) -> str:
    """Include a keyword less often than, or at least as often as, a number of times."""
    return compared(f"{keyword!r} occurrence", reply.lower().count(keyword.lower()), relation, frequency)


@kind("keywords:forbidden_words", forbidden_words=many_texts)
def forbidden_words(reply: str, forbidden_words: tuple[str, ...]) -> str:
    """Use none of the words, in any case of letters; they may be parts of longer words."""
    for word in forbidden_words:
        if whole_word(word).search(reply):
            return f"the forbidden word {word!r} is there"
    return ""


def whole_word(word: str) -> re.Pattern[str]:
    """A pattern of a text that is not part of a longer word."""
    begins = r"\b" if re.match(r"\w", word) else ""
    ends = r"\b" if re.search(r"\w\Z", word) else ""
    return re.compile(f"{begins}{re.escape(word)}{ends}", flags=re.IGNORECASE)


@kind("keywords:letter_frequency", letter=letter, let_frequency=count, let_relation=relation)
def letter_frequency(reply: str, letter: str, let_frequency: int, let_relation: str) -> str:
    """Use a letter, in either case, less often than or at least as often as a number of times."""
    return compared(f"letter {letter!r} occurrence", reply.lower().count(letter), let_relation, let_frequency)


@kind("language:response_language", language=language)
def response_language(reply: str, language: str) -> str:
    """Write the whole reply in one language."""
    return "" if is_language(reply, language) else f"the language is not {language}"


@kind("length_constraints:number_sentences", num_sentences=count, relation=relation)
def number_sentences(reply: str, num_sentences: int, relation: str) -> str:
    """Write fewer sentences than, or at least, a number of them."""
    return compared("sentence", len(sentences(reply)), relation, num_sentences)


@kind("length_constraints:number_paragraphs", num_paragraphs=positive)
def number_paragraphs(reply: str, num_paragraphs: int) -> str:
    """Write exactly a number of paragraphs, separated by ***."""
    found = divided(reply)
    if found is None:
        return "a paragraph is empty"
    return "" if len(found) == num_paragraphs else f"{len(found)} paragraphs, not {num_paragraphs}"


@kind("length_constraints:number_words", num_words=count, relation=relation)
def number_words(reply: str, num_words: int, relation: str) -> str:
    """Write fewer words than, or at least, a number of them."""
    return compared("word", len(words(reply)), relation, num_words)


@kind(
    "length_constraints:nth_paragraph_first_word", num_paragraphs=positive, nth_paragraph=positive, first_word=one_text
)
def nth_paragraph_first_word(reply: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> str:
    """Write a number of paragraphs, separated by empty lines, and begin one of them with a word."""
    pieces = reply.split("\n\n")
    filled = sum(bool(piece.strip()) for piece in pieces)
    if nth_paragraph > filled or not pieces[nth_paragraph - 1].strip():
        return f"there is no paragraph {nth_paragraph}"
    word = pieces[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    word = re.split(r"[.,?!'\"]", word, maxsplit=1)[0]
    if filled != num_paragraphs:
        return f"{filled} paragraphs, not {num_paragraphs}"
    return (
        ""
        if word.lower() == first_word.lower()
        else f"paragraph {nth_paragraph} begins with {word!r}, not {first_word!r}"
    )


@kind("detectable_content:number_placeholders", num_placeholders=count)
def number_placeholders(reply: str, num_placeholders: int) -> str:
    """Use at least a number of placeholders in square brackets, such as [address]."""
    return compared("placeholder", sum(_placeholders(line) for line in reply.split("\n")), "at least", num_placeholders)


def _placeholders(line: str) -> int:
    """The number of leftmost pairs of brackets in a line, each closed by the next `]`."""
    found = at = 0
    while (opens := line.find("[", at)) >= 0 and (closes := line.find("]", opens + 1)) >= 0:
        found, at = found + 1, closes + 1
    return found


@kind("detectable_content:postscript", postscript_marker=one_text)
def postscript(reply: str, postscript_marker: str) -> str:
    """Add a postscript that begins with a marker, such as P.S."""
    lowered = reply.lower()
    if postscript_marker == "P.P.S":
        found = re.search(r"p\.\s?p\.\s?s", lowered)
    elif postscript_marker == "P.S.":
        found = re.search(r"p\.\s?s\.", lowered)
    else:
        found = postscript_marker.lower() in lowered
    return "" if found else f"there is no {postscript_marker}"


@kind("detectable_format:number_bullet_lists", num_bullets=count)
def number_bullet_lists(reply: str, num_bullets: int) -> str:
    """Write exactly a number of bullet points: lines that begin with * or -."""
    lines = [line.lstrip() for line in reply.split("\n")]
    found = sum(line.startswith("-") or (line.startswith("*") and line[1:2] not in ("", "*")) for line in lines)
    return "" if found == num_bullets else f"{found} bullet points, not {num_bullets}"


@kind("detectable_format:constrained_response")
def constrained_response(reply: str) -> str:
    """Answer with "My answer is yes.", "My answer is no." or "My answer is maybe."."""
    return "" if any(each in reply for each in CONSTRAINED) else "none of the three answers is there"


@kind("detectable_format:number_highlighted_sections", num_highlights=count)
def number_highlighted_sections(reply: str, num_highlights: int) -> str:
    """Highlight at least a number of sections with *one* or **two** asterisks."""
    single = sum(bool(each.strip("*").strip()) for each in HIGHLIGHT.findall(reply))
    double = sum(bool(each[2:-2].strip()) for each in DOUBLE_HIGHLIGHT.findall(reply))
    return compared("highlighted section", single + double, "at least", num_highlights)


@kind("detectable_format:multiple_sections", section_spliter=one_text, num_sections=count)
def multiple_sections(reply: str, section_spliter: str, num_sections: int) -> str:
    """Write at least a number of sections, each begun by a name and a number, such as Section 1."""
    found = len(re.findall(rf"{re.escape(section_spliter)}\s?\d+", reply))
    return compared("section", found, "at least", num_sections)


@kind("detectable_format:json_format")
def json_format(reply: str) -> str:
    """Write the whole reply as JSON; a Markdown fence around it is allowed."""
    value = reply.strip()
    for fence in FENCES:
        value = value.removeprefix(fence)
    try:
        json.loads(value.removesuffix("```").strip(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {str(error)[:80]}"
    return ""


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not in JSON")


@kind("detectable_format:title")
def title(reply: str) -> str:
    """Give the reply a title in double angular brackets, such as <<poem of joy>>."""
    for line in reply.split("\n"):
        begins, ends = line.find("<<"), line.rfind(">>")
        if 0 <= begins < ends - 1 and line[begins:ends].strip("<> \t"):
            return ""
    return "there is no title in <<angular brackets>>"


@kind("combination:two_responses")
def two_responses(reply: str) -> str:
    """Give two different responses, separated by six asterisks."""
    pieces = [piece.strip() for piece in reply.split("******")]
    if not all(pieces[1:-1]):
        return "a response is empty"
    filled = [piece for piece in pieces if piece]
    if len(filled) != 2:
        return f"{len(filled)} responses, not 2"
    return "" if filled[0] != filled[1] else "both responses are the same"


@kind("combination:repeat_prompt", prompt_to_repeat=raw_text)
def repeat_prompt(reply: str, prompt_to_repeat: str) -> str:
    """Repeat the prompt word for word, then answer it."""
    begins = reply.strip().lower().startswith(prompt_to_repeat.strip().lower())
    return "" if begins else "the reply does not begin with the prompt"


@kind("startend:end_checker", end_phrase=one_text)
def end_checker(reply: str, end_phrase: str) -> str:
    """End the reply with an exact phrase."""
    ends = reply.strip().strip('"').lower().endswith(end_phrase.lower())
    return "" if ends else f"the reply does not end with {end_phrase!r}"


@kind("startend:quotation")
def quotation(reply: str) -> str:
    """Wrap the whole reply in double quotation marks."""
    text = reply.strip()
    return "" if len(text) > 1 and text[0] == text[-1] == '"' else "it is not wrapped in double quotation marks"


@kind("change_case:capital_word_frequency", capital_frequency=count, capital_relation=relation)
def capital_word_frequency(reply: str, capital_frequency: int, capital_relation: str) -> str:
    """Use fewer words in capitals than, or at least, a number of them; one with hyphens is one word."""
    found = sum(word.isupper() for word in compounds(reply))
    return compared("word in capitals", found, capital_relation, capital_frequency).replace("capitalss", "capitals")


@kind("change_case:english_capital")
def english_capital(reply: str) -> str:
    """Write in English and in capital letters only."""
    if not reply.isupper():
        return "not every letter is a capital"
    return "" if is_language(reply, "en") else "the language is not en"


@kind("change_case:english_lowercase")
def english_lowercase(reply: str) -> str:
    """Write in English and in small letters only."""
    if not reply.islower():
        return "not every letter is a small one"
    return "" if is_language(reply, "en") else "the language is not en"


@kind("punctuation:no_comma")
def no_comma(reply: str) -> str:
    """Use no comma."""
    return "there is a comma" if "," in reply else ""
