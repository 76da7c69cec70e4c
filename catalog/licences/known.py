"""The licences of data, code and models that the catalog knows, and what each allows.

An identifier is SPDX's (https://spdx.org/licenses), or begins with `LicenseRef-` for terms that SPDX does not list. The
terms are a reader's summary of the text of the licence for three questions, not legal advice: whether commercial use is
allowed, whether the source must be named, and whether works made from it must carry the same licence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Use = Literal["allowed", "forbidden", "conditional", "unknown"]
"""Whether something is allowed; `conditional`: with limits of its own, such as a list of forbidden uses."""

REFERENCE = "LicenseRef-"
NOT_STATED = "LicenseRef-Not-Stated"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a licence allows and asks for; None where that is not known."""

    commercial: Use
    attribution: bool | None
    share_alike: bool | None
    adaptation: bool | None = True
    """Whether changed works may be shared."""

    @property
    def words(self) -> str:
        """The terms in words: "commercial use allowed, attribution, share-alike"."""
        parts = [f"commercial use {self.commercial}"]
        for value, name in ((self.attribution, "attribution"), (self.share_alike, "share-alike")):
            parts += [name] if value else [f"{name} not known"] if value is None else []
        return ", ".join([*parts, *(["no changed works"] if self.adaptation is False else [])])


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence: its identifier, its title, its terms, and other names that mean it and nothing else."""

    id: str
    title: str
    terms: Terms
    names: tuple[str, ...] = ()

    @property
    def url(self) -> str | None:
        """The page of SPDX; None for terms that SPDX does not list."""
        return None if self.id.startswith(REFERENCE) else f"https://spdx.org/licenses/{self.id}.html"


UNKNOWN = Terms(commercial="unknown", attribution=None, share_alike=None, adaptation=None)
FREE = Terms(commercial="allowed", attribution=False, share_alike=False)
CREDIT = Terms(commercial="allowed", attribution=True, share_alike=False)
SHARE = Terms(commercial="allowed", attribution=True, share_alike=True)
LIMITED = Terms(commercial="conditional", attribution=True, share_alike=False)
RESEARCH = Terms(commercial="forbidden", attribution=True, share_alike=False)


def _licences(terms: Terms, *rows: tuple[str, ...]) -> list[Licence]:
    return [Licence(id=row[0], title=row[1], terms=terms, names=row[2:]) for row in rows]


def creative_commons_terms(parts: tuple[str, ...]) -> Terms:
    """The terms of a Creative Commons licence by its parts, such as ("by", "nc", "sa")."""
    return Terms(
        commercial="forbidden" if "nc" in parts else "allowed",
        attribution="by" in parts,
        share_alike="sa" in parts,
        adaptation="nd" not in parts,
    )


CC_PARTS = (("by",), ("by", "sa"), ("by", "nd"), ("by", "nc"), ("by", "nc", "sa"), ("by", "nc", "nd"))
CC_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")


def creative_commons_id(parts: tuple[str, ...], version: str) -> str:
    """The identifier of SPDX: `CC-BY-NC-SA-4.0` of ("by", "nc", "sa") and 4.0."""
    return "-".join(("CC", *(part.upper() for part in parts), version))


def _creative_commons() -> list[Licence]:
    words = {"by": "Attribution", "sa": "ShareAlike", "nd": "NoDerivatives", "nc": "NonCommercial"}
    return [
        Licence(
            id=creative_commons_id(parts, version),
            title=f"Creative Commons {'-'.join(words[part] for part in parts)} {version}",
            terms=creative_commons_terms(parts),
        )
        for parts in CC_PARTS
        for version in CC_VERSIONS
    ]


LICENCES: dict[str, Licence] = {
    licence.id: licence
    for licence in (
        *_licences(
            FREE,
            ("CC0-1.0", "Creative Commons Zero 1.0", "CC0", "Creative Commons Zero", "CC Zero", "CC0 1.0 Universal"),
            ("PDDL-1.0", "Open Data Commons Public Domain Dedication 1.0", "PDDL", "ODC PDDL", "ODC-PDDL"),
            ("Unlicense", "The Unlicense", "The Unlicense"),
            ("0BSD", "BSD Zero Clause License", "Zero-Clause BSD", "BSD Zero Clause"),
            ("MIT-0", "MIT No Attribution", "MIT No Attribution"),
            ("WTFPL", "Do What The F*ck You Want To Public License", "Do What The F*ck You Want To Public"),
            ("LicenseRef-Public-Domain", "Public domain", "PD", "US Public Domain", "US Government Work"),
            ("O-UDA-1.0", "Open Use of Data Agreement 1.0", "O-UDA", "O-UDA v1.0"),
        ),
        *_licences(
            CREDIT,
            ("MIT", "MIT License", "Expat", "X11/MIT"),
            ("Apache-2.0", "Apache License 2.0", "Apache 2", "Apache2", "ASL 2.0", "Apache Software 2.0"),
            ("BSD-2-Clause", "BSD 2-Clause License", "Simplified BSD", "FreeBSD", "BSD 2"),
            ("BSD-3-Clause", "BSD 3-Clause License", "New BSD", "Modified BSD", "Revised BSD", "BSD 3"),
            ("BSD-3-Clause-Clear", "BSD 3-Clause Clear License", "Clear BSD"),
            ("ISC", "ISC License"),
            ("Zlib", "zlib License", "zlib/libpng"),
            ("BSL-1.0", "Boost Software License 1.0", "Boost", "Boost Software", "Boost Software 1.0"),
            ("AFL-3.0", "Academic Free License 3.0", "Academic Free 3.0"),
            ("ECL-2.0", "Educational Community License 2.0", "Educational Community 2.0"),
            ("NCSA", "University of Illinois/NCSA Open Source License"),
            ("PostgreSQL", "PostgreSQL License"),
            ("PSF-2.0", "Python Software Foundation License 2.0", "PSF", "Python Software Foundation"),
            ("Artistic-2.0", "Artistic License 2.0"),
            ("MS-PL", "Microsoft Public License", "Microsoft Public"),
            ("ODC-By-1.0", "Open Data Commons Attribution 1.0", "ODC-BY", "ODC Attribution",
             "Open Data Commons Attribution"),
            ("CDLA-Permissive-1.0", "Community Data License Agreement Permissive 1.0"),
            ("CDLA-Permissive-2.0", "Community Data License Agreement Permissive 2.0"),
            ("OGL-UK-3.0", "Open Government Licence 3.0 (UK)", "OGL", "OGL 3.0", "Open Government 3.0", "UK OGL"),
            ("etalab-2.0", "Licence Ouverte 2.0", "Etalab Open 2.0", "Licence Ouverte", "Licence Ouverte 2.0"),
            ("DL-DE-BY-2.0", "Data licence Germany - attribution - 2.0", "dl-de/by-2-0", "Datenlizenz Deutschland 2.0"),
            ("NLOD-2.0", "Norwegian Licence for Open Government Data 2.0", "NLOD"),
        ),
        *_licences(
            SHARE,
            ("GPL-2.0-only", "GNU General Public License 2.0 only"),
            ("GPL-2.0-or-later", "GNU General Public License 2.0 or later", "GPL-2.0+", "GPLv2+"),
            ("GPL-3.0-only", "GNU General Public License 3.0 only"),
            ("GPL-3.0-or-later", "GNU General Public License 3.0 or later", "GPL-3.0+", "GPLv3+"),
            ("LGPL-2.1-only", "GNU Lesser General Public License 2.1 only"),
            ("LGPL-2.1-or-later", "GNU Lesser General Public License 2.1 or later", "LGPL-2.1+", "LGPLv2.1+"),
            ("LGPL-3.0-only", "GNU Lesser General Public License 3.0 only"),
            ("LGPL-3.0-or-later", "GNU Lesser General Public License 3.0 or later", "LGPL-3.0+", "LGPLv3+"),
            ("AGPL-3.0-only", "GNU Affero General Public License 3.0 only"),
            ("AGPL-3.0-or-later", "GNU Affero General Public License 3.0 or later", "AGPL-3.0+", "AGPLv3+"),
            ("GFDL-1.3-or-later", "GNU Free Documentation License 1.3 or later", "GFDL 1.3+"),
            ("MPL-2.0", "Mozilla Public License 2.0", "Mozilla Public 2.0", "Mozilla 2.0"),
            ("EPL-2.0", "Eclipse Public License 2.0", "Eclipse Public 2.0"),
            ("EUPL-1.2", "European Union Public License 1.2", "European Union Public 1.2"),
            ("OSL-3.0", "Open Software License 3.0", "Open Software 3.0"),
            ("ODbL-1.0", "Open Database License 1.0", "ODbL", "Open Database", "ODC ODbL"),
            ("CDLA-Sharing-1.0", "Community Data License Agreement Sharing 1.0"),
        ),
        *_creative_commons(),
        *_licences(
            LIMITED,
            ("LicenseRef-Llama-2", "Llama 2 Community License", "Llama2", "Llama 2", "Llama 2 Community Agreement"),
            ("LicenseRef-Llama-3", "Llama 3 Community License", "Llama3", "Llama 3", "Meta Llama 3 Community"),
            ("LicenseRef-Llama-3.1", "Llama 3.1 Community License", "Llama3.1", "Llama 3.1 Community"),
            ("LicenseRef-Llama-3.2", "Llama 3.2 Community License", "Llama3.2", "Llama 3.2 Community"),
            ("LicenseRef-Llama-3.3", "Llama 3.3 Community License", "Llama3.3", "Llama 3.3 Community"),
            ("C-UDA-1.0", "Computational Use of Data Agreement 1.0", "C-UDA", "CUDA 1.0"),
            ("LicenseRef-Gemma", "Gemma Terms of Use", "Gemma", "Gemma Terms of Use"),
            ("LicenseRef-BigScience-BLOOM-RAIL-1.0", "BigScience BLOOM RAIL 1.0", "bigscience-bloom-rail-1.0"),
            ("LicenseRef-BigScience-OpenRAIL-M", "BigScience OpenRAIL-M", "bigscience-openrail-m"),
            ("LicenseRef-BigCode-OpenRAIL-M", "BigCode OpenRAIL-M", "bigcode-openrail-m", "BigCode OpenRAIL-M v1"),
            ("LicenseRef-CreativeML-OpenRAIL-M", "CreativeML OpenRAIL-M", "creativeml-openrail-m"),
            ("LicenseRef-OpenRAIL-PP", "OpenRAIL++", "openrail++", "openrail++-m"),
            ("LicenseRef-DeepSeek", "DeepSeek Model License", "deepseek", "deepseek-license", "DeepSeek Model"),
            ("LicenseRef-Qwen", "Qwen License Agreement", "qwen", "Tongyi Qianwen", "tongyi-qianwen"),
            ("LicenseRef-Falcon-180B", "Falcon 180B TII License", "falcon-180b-license", "Falcon-180B TII"),
            ("LicenseRef-Common-Crawl", "Common Crawl Terms of Use", "Common Crawl", "Common Crawl Terms of Use"),
            ("LicenseRef-ImpACT-LR", "AI2 ImpACT License, low risk", "ai2-impact-low-risk", "ImpACT-LR"),
            ("LicenseRef-OpenAI-Terms", "OpenAI Terms of Use", "OpenAI", "OpenAI Terms of Use"),
            ("LicenseRef-Model-Terms", "the terms of the model that wrote it", "as the terms of the model say",
             "as the terms of the models say"),
        ),
        *_licences(
            RESEARCH,
            ("LicenseRef-ImpACT-MR", "AI2 ImpACT License, medium risk", "ai2-impact-medium-risk", "ImpACT-MR"),
            ("LicenseRef-Research-Only", "for research only", "research only", "academic only", "research use only",
             "for research purposes only", "academic research only", "non commercial research only"),
            ("LicenseRef-Non-Commercial", "for non-commercial use", "non commercial", "noncommercial",
             "non commercial use only", "cc nc"),
            ("LicenseRef-Llama-1", "LLaMA 1 license, non-commercial", "LLaMA 1", "llama1"),
            ("LicenseRef-MS-MARCO", "MS MARCO terms, non-commercial research", "MS MARCO", "ms-marco"),
        ),
        *_licences(
            UNKNOWN,
            (NOT_STATED, "no licence stated", "unknown", "none", "no licence", "not specified", "unspecified", "n/a",
             "null", "not stated", "none stated", "no license found", "unlicensed", "NOASSERTION"),
            ("LicenseRef-Web-Page", "each web page its own", "each page its own"),
            ("LicenseRef-Own-Licence", "as each source states it", "as they were published",
             "as the licence of each data set says", "as the licence of each paper says"),
            ("LicenseRef-Proprietary", "proprietary", "all rights reserved", "copyrighted", "proprietary"),
        ),
    )
}  # fmt: skip
"""Every licence by its identifier."""

AMBIGUOUS: dict[str, tuple[tuple[str, ...], str]] = {
    "apache": (("Apache-2.0", "Apache-1.1", "Apache-1.0"), "no version"),
    "bsd": (("BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"), "no number of clauses"),
    "gpl": (("GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later"), "no version"),
    "gnu": (("GPL-2.0-only", "GPL-3.0-only", "LGPL-3.0-only", "AGPL-3.0-only"), "which of GNU's licences"),
    "gpl-2.0": (("GPL-2.0-only", "GPL-2.0-or-later"), "only this version, or later ones too"),
    "gpl-3.0": (("GPL-3.0-only", "GPL-3.0-or-later"), "only this version, or later ones too"),
    "lgpl": (("LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later"), "no version"),
    "lgpl-2.1": (("LGPL-2.1-only", "LGPL-2.1-or-later"), "only this version, or later ones too"),
    "lgpl-3.0": (("LGPL-3.0-only", "LGPL-3.0-or-later"), "only this version, or later ones too"),
    "agpl": (("AGPL-3.0-only", "AGPL-3.0-or-later"), "no version"),
    "agpl-3.0": (("AGPL-3.0-only", "AGPL-3.0-or-later"), "only this version, or later ones too"),
    "gfdl": (("GFDL-1.1-only", "GFDL-1.2-only", "GFDL-1.3-only", "GFDL-1.3-or-later"), "no version"),
    "mpl": (("MPL-1.1", "MPL-2.0"), "no version"),
    "epl": (("EPL-1.0", "EPL-2.0"), "no version"),
    "eupl": (("EUPL-1.1", "EUPL-1.2"), "no version"),
    "artistic": (("Artistic-1.0", "Artistic-2.0"), "no version"),
    "cdla": (("CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0"), "permissive or sharing"),
    "cdla permissive": (("CDLA-Permissive-1.0", "CDLA-Permissive-2.0"), "no version"),
    "creative commons": (
        tuple(creative_commons_id(parts, "4.0") for parts in CC_PARTS),
        "which of the Creative Commons licences",
    ),
    "odc": (("ODC-By-1.0", "ODbL-1.0", "PDDL-1.0"), "which of the Open Data Commons licences"),
    "rail": (("LicenseRef-BigScience-BLOOM-RAIL-1.0", "LicenseRef-BigScience-OpenRAIL-M"), "which RAIL licence"),
    "openrail": (
        ("LicenseRef-BigScience-OpenRAIL-M", "LicenseRef-BigCode-OpenRAIL-M", "LicenseRef-CreativeML-OpenRAIL-M"),
        "which OpenRAIL licence",
    ),
    "llama": (
        ("LicenseRef-Llama-1", "LicenseRef-Llama-2", "LicenseRef-Llama-3", "LicenseRef-Llama-3.1"),
        "which generation of Llama; the first forbids commercial use",
    ),
    "impact": (("LicenseRef-ImpACT-LR", "LicenseRef-ImpACT-MR"), "low or medium risk"),
    "other": ((), "the name says nothing"),
    "custom": ((), "the name says nothing"),
    "various": ((), "several licences, not named"),
    "multiple": ((), "several licences, not named"),
    "mixed": ((), "several licences, not named"),
    "open source": ((), "many licences are open source"),
    "free": ((), "of charge, or free to change and share"),
    "fair use": ((), "a defence in some countries, not a licence"),
    "permissive": ((), "many licences are permissive"),
    "copyleft": ((), "many licences are share-alike"),
}
"""Names that may mean several licences, as `catalog.licences.names.normalised` writes them: the likeliest ones, and
what the name leaves open."""
