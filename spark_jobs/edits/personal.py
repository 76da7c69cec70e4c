"""Masks personal data that can be recognised by its form: e-mail addresses, IP addresses, phone numbers.

E-mail and IP addresses are those of FineWeb (arXiv 2406.17557; huggingface/datatrove, pipeline/formatters/pii.py),
phone numbers those of Dolma (arXiv 2402.00159; allenai/dolma, taggers/pii.py): ten digits as in North America, with
ASCII digits only, also at a text's beginning. Unlike in datatrove, every address becomes the same text, so the result
for a document does not depend on earlier documents. A kernel finds candidates by their characters, and Python's `re`
decides.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from spark_jobs.measures.base import Edit, Option

EMAIL_REPLACEMENT = "email@example.com"
IP_REPLACEMENT = "192.0.2.1"
"""An address for documentation (RFC 5737)."""
PHONE_REPLACEMENT = "555-0100"
"""A number that belongs to nobody (North American numbers for fiction)."""

_LETTERS = string.ascii_letters + string.digits
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NUMBER = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_EMAIL = re.compile(
    rf"\b{_ATOM}(?:\.{_ATOM})*@(?:(?:{_LABEL}\.)+{_LABEL}"
    rf"|\[(?:{_NUMBER}\.){{3}}(?:{_NUMBER}|[A-Za-z0-9-]*[A-Za-z0-9]:)\])"
)
_IP = re.compile(rf"(?:{_NUMBER}\.){{3}}{_NUMBER}")
_PHONE = re.compile(r"(?<!\S)\(?[0-9]{3}\)?[-. ]*[0-9]{3}[-. ]?[0-9]{4}")


class _Form(NamedTuple):
    """A form of personal data, and the characters that identify candidates."""

    pattern: re.Pattern[str]
    within: str
    """All characters that may occur in it."""
    signs: str
    """The first and the last character of the range that candidates are searched by."""
    least: int
    """Fewest characters of that range in a candidate."""


_EMAILS = _Form(_EMAIL, _LETTERS + "!#$%&'*+/=?^_`{|}~-.@[]:", "@", 1)
_ADDRESSES = _Form(_IP, string.digits + ".", ".", 3)
_PHONES = _Form(_PHONE, string.digits + "()-. ", "09", 10)


def mask_personal(
    text: pa.Array,
    *,
    emails: bool = True,
    ip_addresses: bool = True,
    phone_numbers: bool = False,
    public_only: bool = True,
    email_replacement: str = EMAIL_REPLACEMENT,
    ip_replacement: str = IP_REPLACEMENT,
    phone_replacement: str = PHONE_REPLACEMENT,
) -> pa.Array:
    """Replace each e-mail address, then each IPv4 address, then each phone number by a fixed text.

    Args:
        text: documents.
        emails: mask e-mail addresses.
        ip_addresses: mask IP addresses.
        phone_numbers: mask phone numbers.
        public_only: leave IP addresses outside the public internet.
        email_replacement: the replacement of an e-mail address.
        ip_replacement: the replacement of an IP address.
        phone_replacement: the replacement of a phone number.
    """
    if emails:
        text = _masked(text, _EMAILS, email_replacement)
    if ip_addresses:
        text = _masked(text, _ADDRESSES, ip_replacement, _is_public if public_only else _is_address)
    if phone_numbers:
        text = _masked(text, _PHONES, phone_replacement)
    return text


def _masked(
    text: pa.Array, form: _Form, replacement: str, is_masked: Callable[[str], bool] = lambda found: True
) -> pa.Array:
    from spark_jobs.kernels.candidates import stretches_with
    from spark_jobs.kernels.cuts import Spans, without
    from spark_jobs.kernels.text_buffers import text_buffers

    buffers = text_buffers(text)
    spans = stretches_with(buffers, form.signs, form.within, form.least)
    firsts = buffers.offsets[np.searchsorted(buffers.offsets, spans.starts, side="right") - 1]
    cuts = []
    for start, stop, first in zip(spans.starts.tolist(), spans.stops.tolist(), firsts.tolist(), strict=True):
        # Whether a match may begin depends on the character before it, which has at most four bytes.
        ahead = buffers.data[max(start - 4, first) : start].tobytes().decode(errors="ignore")[-1:]
        stretch = ahead + buffers.data[start:stop].tobytes().decode("ascii")
        for match in form.pattern.finditer(stretch, len(ahead)):
            if is_masked(match.group()):
                cuts.append((start - len(ahead) + match.start(), start - len(ahead) + match.end()))
    starts, stops = np.array(cuts, np.int64).reshape(-1, 2).T
    return without(text, buffers, Spans(starts.copy(), stops.copy()), replacement.encode())


def _is_address(found: str) -> bool:
    try:
        ipaddress.ip_address(found)
    except ValueError:
        return False
    return True


def _is_public(found: str) -> bool:
    return _is_address(found) and ipaddress.ip_address(found).is_global


EDITS = (
    Edit(
        name="mask_personal",
        description="masks e-mail addresses, IP addresses and phone numbers",
        options={
            "emails": Option(kind=bool, description="mask e-mail addresses", default=True),
            "ip_addresses": Option(kind=bool, description="mask IPv4 addresses", default=True),
            "phone_numbers": Option(kind=bool, description="mask phone numbers of ten digits", default=False),
            "public_only": Option(
                kind=bool, description="leave IP addresses outside the public internet", default=True
            ),
            "email_replacement": Option(
                kind=str, description="replacement of an e-mail address", default=EMAIL_REPLACEMENT
            ),
            "ip_replacement": Option(kind=str, description="replacement of an IP address", default=IP_REPLACEMENT),
            "phone_replacement": Option(
                kind=str, description="replacement of a phone number", default=PHONE_REPLACEMENT
            ),
        },
        apply=mask_personal,
    ),
)
