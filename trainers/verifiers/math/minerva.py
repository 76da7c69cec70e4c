"""Two published normalisations of a MATH answer, which are compared as text.

`minerva_normal` is Minerva's (arXiv 2206.14858, appendix D); `hendrycks_normal` is that of the MATH data set
(arXiv 2103.03874, its `strip_string`).
"""

from __future__ import annotations

import re

SUBSTITUTIONS = (
    *(("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text")),
    *((",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}")),
)
UNITS = (
    "square ways integers dollars mph inches ft hours km units sue points feet minutes digits cents degrees cm gm "
    "pounds meters meals edges students childrentickets multiples"
).split()
REMOVED = (
    *("\\ldots", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", "\\text{}"),
    *("\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", '"', "\\dots"),
)
WRAPPERS = (r"\\text\{(.*?)\}", r"\\textbf\{(.*?)\}", r"\\overline\{(.*?)\}", r"\\boxed\{(.*)\}")


def minerva_normal(answer: str) -> str:
    r"""An answer without units, wrappers and spaces, with `\frac12` written out.

    Units that are glued to a LaTeX command stay, so that `\left` keeps its `ft`.

    Example:
        >>> minerva_normal(r"x = \frac12 \text{ cm}")
        '\\frac{1}{2}'
    """
    answer = answer.rsplit("=", 1)[-1]
    for unit in UNITS:
        answer = re.sub(rf"(?<!\\)\b{unit}\b", "", answer)
    for before, after in SUBSTITUTIONS:
        answer = answer.replace(before, after)
    pieces = re.split(r"(\\[a-zA-Z]+)", answer)
    for index in range(0, len(pieces), 2):
        for unit in UNITS:
            pieces[index] = pieces[index].replace(unit, "")
    answer = "".join(pieces)
    for removed in REMOVED:
        answer = answer.replace(removed, "")
    begins = answer.find("$")
    ends = answer.find("$", begins + 1)
    if 0 <= begins < ends:
        answer = answer[begins + 1 : ends]
    for wrapper in WRAPPERS:
        answer = re.sub(wrapper, r"\1", answer)
    answer = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", answer)
    answer = re.sub(r"sqrt(\[[^\]]*\])(\w)", r"sqrt\1{\2}", answer)
    answer = re.sub(r"sqrt(?!\[)([^{])", r"sqrt{\1}", answer).replace("$", "")
    return answer.replace(",", "") if re.fullmatch(r"-?\d{1,3}(,\d{3})+", answer) else answer


def hendrycks_normal(answer: str) -> str:
    r"""An answer without spaces, sizes of brackets, degrees, percent signs and units on the right.

    Example:
        >>> hendrycks_normal(r"\dfrac{1}{2}") == hendrycks_normal("1/2") == hendrycks_normal("0.5")
        True
    """
    for before, after in (
        *(("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", "")),
        *(("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", "")),
    ):
        answer = answer.replace(before, after)
    answer = answer.split("\\text{ ")[0] if answer.count("\\text{ ") == 1 else answer
    answer = answer.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if answer.startswith("."):
        answer = f"0{answer}"
    name, equals, value = answer.partition("=")
    if equals and "=" not in value and len(name) <= 2:
        answer = value
    answer = re.sub(r"\\sqrt([^{])", r"\\sqrt{\1}", answer).replace(" ", "")
    answer = re.sub(r"\\frac([^{])([^{])", r"\\frac{\1}{\2}", answer)
    answer = re.sub(r"\\frac([^{])\{", r"\\frac{\1}{", answer)
    if answer == "0.5":
        return "\\frac{1}{2}"
    return re.sub(r"(-?\d+)/(-?\d+)", r"\\frac{\1}{\2}", answer) if re.fullmatch(r"-?\d+/-?\d+", answer) else answer
