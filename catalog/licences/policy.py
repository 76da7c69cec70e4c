"""Licences that a table may not combine: by what they ask, and by `[licences]` in watershed.toml.

Share-alike asks that a work made from two others carries the licence of each, which it can only if they are the same or
one allows the other. A licence without changed works forbids every table that is made from it. These are rules of thumb
from the texts of the licences, not legal advice: `[licences] accept` records a decision to the contrary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from catalog.contract import Contract
from catalog.licences.inherited import Held
from catalog.settings import LicencesSettings

ONE_WAY = {
    "CC-BY-SA-4.0": ("GPL-3.0",),
    "LGPL-2.1": ("GPL-2.0", "GPL-3.0", "LGPL-3.0", "AGPL-3.0"),
    "LGPL-3.0": ("GPL-3.0", "AGPL-3.0"),
    "MPL-2.0": ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0"),
    "GPL-3.0": ("AGPL-3.0",),
    "GPL-2.0-or-later": ("GPL-3.0", "AGPL-3.0"),
    "LGPL-2.1-or-later": ("LGPL-3.0",),
    "EUPL-1.2": ("GPL-2.0", "GPL-3.0", "LGPL-2.1", "LGPL-3.0", "AGPL-3.0", "MPL-2.0", "OSL-3.0", "EPL-2.0"),
    "GFDL-1.3": (),
}
"""A share-alike licence, by the beginning of its identifier, and those under which works made from it may be shared."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Licences of a table that do not go together, or one that the settings forbid."""

    licences: tuple[str, ...]
    reason: str
    tables: tuple[str, ...]
    """The tables that state these licences."""

    @property
    def name(self) -> str:
        """The conflict as `[licences] accept` names it: "CC-BY-SA-4.0 + CC-BY-NC-SA-4.0"."""
        return " + ".join(self.licences)


def conflicts(contract: Contract, held: Sequence[Held], settings: LicencesSettings) -> list[Conflict]:
    """What is wrong with the licences `held` of the table of `contract`; empty if nothing is.

    Example:
        >>> from catalog import CONTRACTS, load_settings
        >>> from catalog.licences.inherited import licences_of
        >>> from catalog.licences.policy import conflicts
        >>> held = licences_of("mathfish.tasks", CONTRACTS)
        >>> conflicts(CONTRACTS["mathfish.tasks"], held, load_settings().licences)
        []
    """
    found = [forbidden(each, settings) for each in held]
    if contract.upstream:
        found += [_unchangeable(contract, each) for each in held]
        found += [_share_alike(one, other) for one, other in combinations(held, 2)]
    return [each for each in found if each and each.name not in settings.accept]


def forbidden(held: Held, settings: LicencesSettings) -> Conflict | None:
    """Why the settings forbid a licence by itself; None if they do not."""
    reason = ""
    if held.id in settings.forbid:
        reason = "[licences] forbid names it"
    elif settings.commercial and held.terms.commercial == "forbidden":
        reason = "commercial use is forbidden, and [licences] commercial asks for it"
    elif settings.known and (held.problem or held.terms.commercial == "unknown"):
        reason = f"{held.problem or 'its terms are not known'}, and [licences] known asks for terms that are"
    return Conflict(licences=(held.id,), reason=reason, tables=held.tables) if reason else None


def _unchangeable(contract: Contract, held: Held) -> Conflict | None:
    if held.terms.adaptation is not False or held.tables == (contract.name,):
        return None
    reason = f"works that are changed may not be shared, and {contract.name} is made from {held.tables[-1]}"
    return Conflict(licences=(held.id,), reason=reason, tables=held.tables)


def _share_alike(one: Held, other: Held) -> Conflict | None:
    first, second = sorted((one, other), key=lambda held: held.id)
    pair = (first.id, second.id)
    if pair == ("Apache-2.0", "GPL-2.0-only"):
        reason = "version 2 of the GPL alone does not allow the patent terms of Apache-2.0"
    elif not (one.terms.share_alike and other.terms.share_alike) or _may_become(*pair) or _may_become(*pair[::-1]):
        return None
    else:
        reason = "each asks that works made from it carry itself"
    return Conflict(licences=pair, reason=reason, tables=tuple(dict.fromkeys((*first.tables, *second.tables))))


def _may_become(one: str, other: str) -> bool:
    """Whether a work made from material under the share-alike licence `one` may be shared under `other`."""
    if _kind(one) == _kind(other) and (_version(one) == _version(other) or one.startswith("CC-")):
        return True
    if one.endswith("-or-later") and _kind(one) == _kind(other) and _version(one) <= _version(other):
        return True
    return any(one.startswith(begin) and other.startswith(ends) for begin, ends in ONE_WAY.items())


def _kind(identifier: str) -> str:
    return re.sub(r"-\d.*$", "", identifier)


def _version(identifier: str) -> str:
    found = re.search(r"-(\d+(?:\.\d+)?)", identifier)
    return found[1] if found else ""
