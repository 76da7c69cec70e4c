"""Licence names in the wild, the licences that tables inherit, and the combinations that fail a check."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import license_expression
import pytest
from small_lake import good_rows, settings_in, write_rows

from catalog.contract import Contract
from catalog.lake import Lake
from catalog.licences.inherited import Held, ancestors, licences_of, own_licences, rows_by_licence
from catalog.licences.known import AMBIGUOUS, LICENCES, Terms
from catalog.licences.names import normalised, read_licence, read_licences
from catalog.licences.policy import conflicts
from catalog.settings import LicencesSettings
from catalog.tables import CONTRACTS

FREE, CREDIT, SHARE = ("allowed", False, False), ("allowed", True, False), ("allowed", True, True)
NC, NC_SA = ("forbidden", True, False), ("forbidden", True, True)
LIMITED, NOTHING = ("conditional", True, False), ("unknown", None, None)
IN_THE_WILD = {
    "MIT License": ("MIT", CREDIT),
    "mit": ("MIT", CREDIT),
    "The MIT License (MIT)": ("MIT", CREDIT),
    "https://opensource.org/licenses/MIT": ("MIT", CREDIT),
    "Apache License, Version 2.0": ("Apache-2.0", CREDIT),
    "apache-2.0": ("Apache-2.0", CREDIT),
    "Apache 2": ("Apache-2.0", CREDIT),
    "http://www.apache.org/licenses/LICENSE-2.0": ("Apache-2.0", CREDIT),
    "BSD 3-Clause License": ("BSD-3-Clause", CREDIT),
    "bsd-2-clause": ("BSD-2-Clause", CREDIT),
    "ISC": ("ISC", CREDIT),
    "BSL-1.0": ("BSL-1.0", CREDIT),
    "The Unlicense": ("Unlicense", FREE),
    "wtfpl": ("WTFPL", FREE),
    "CC0 1.0 Universal": ("CC0-1.0", FREE),
    "https://creativecommons.org/publicdomain/zero/1.0/": ("CC0-1.0", FREE),
    "Public Domain": ("LicenseRef-Public-Domain", FREE),
    "PDDL": ("PDDL-1.0", FREE),
    "CC BY 4.0": ("CC-BY-4.0", CREDIT),
    "cc-by-4.0": ("CC-BY-4.0", CREDIT),
    "Creative Commons Attribution 4.0 International License": ("CC-BY-4.0", CREDIT),
    "CC BY 3.0 US": ("CC-BY-3.0", CREDIT),
    "cc-by-2.0": ("CC-BY-2.0", CREDIT),
    "cc-by-sa-3.0": ("CC-BY-SA-3.0", SHARE),
    "Creative Commons Attribution-ShareAlike 4.0": ("CC-BY-SA-4.0", SHARE),
    "https://creativecommons.org/licenses/by-sa/4.0/legalcode": ("CC-BY-SA-4.0", SHARE),
    "cc-by-nc-4.0": ("CC-BY-NC-4.0", NC),
    "CC BY NC 2.0": ("CC-BY-NC-2.0", NC),
    "https://creativecommons.org/licenses/by-nc/4.0/": ("CC-BY-NC-4.0", NC),
    "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International": ("CC-BY-NC-SA-4.0", NC_SA),
    "cc-by-nc-sa-3.0": ("CC-BY-NC-SA-3.0", NC_SA),
    "CC-BY-NC-ND-4.0": ("CC-BY-NC-ND-4.0", NC),
    "cc-by-nd-4.0": ("CC-BY-ND-4.0", CREDIT),
    "odc-by": ("ODC-By-1.0", CREDIT),
    "Open Data Commons Attribution License v1.0": ("ODC-By-1.0", CREDIT),
    "ODbL": ("ODbL-1.0", SHARE),
    "https://opendatacommons.org/licenses/odbl/1-0/": ("ODbL-1.0", SHARE),
    "cdla-permissive-2.0": ("CDLA-Permissive-2.0", CREDIT),
    "cdla-sharing-1.0": ("CDLA-Sharing-1.0", SHARE),
    "C-UDA": ("C-UDA-1.0", LIMITED),
    "O-UDA": ("O-UDA-1.0", FREE),
    "Open Government Licence v3.0": ("OGL-UK-3.0", CREDIT),
    "etalab-2.0": ("etalab-2.0", CREDIT),
    "GNU General Public License v3.0 or later": ("GPL-3.0-or-later", SHARE),
    "GPL-2.0-only": ("GPL-2.0-only", SHARE),
    "GPLv3+": ("GPL-3.0-or-later", SHARE),
    "LGPL v2.1 or later": ("LGPL-2.1-or-later", SHARE),
    "AGPL-3.0-only": ("AGPL-3.0-only", SHARE),
    "Mozilla Public License 2.0": ("MPL-2.0", SHARE),
    "eclipse public license 2.0": ("EPL-2.0", SHARE),
    "EUPL-1.2": ("EUPL-1.2", SHARE),
    "osl-3.0": ("OSL-3.0", SHARE),
    "afl-3.0": ("AFL-3.0", CREDIT),
    "Artistic License 2.0": ("Artistic-2.0", CREDIT),
    "ecl-2.0": ("ECL-2.0", CREDIT),
    "ncsa": ("NCSA", CREDIT),
    "zlib": ("Zlib", CREDIT),
    "llama2": ("LicenseRef-Llama-2", LIMITED),
    "Llama 3.1 Community License Agreement": ("LicenseRef-Llama-3.1", LIMITED),
    "gemma": ("LicenseRef-Gemma", LIMITED),
    "bigscience-openrail-m": ("LicenseRef-BigScience-OpenRAIL-M", LIMITED),
    "bigscience-bloom-rail-1.0": ("LicenseRef-BigScience-BLOOM-RAIL-1.0", LIMITED),
    "creativeml-openrail-m": ("LicenseRef-CreativeML-OpenRAIL-M", LIMITED),
    "AI2 ImpACT License – Low Risk": ("LicenseRef-ImpACT-LR", LIMITED),
    "OpenAI Terms of Use": ("LicenseRef-OpenAI-Terms", LIMITED),
    "Academic only": ("LicenseRef-Research-Only", NC),
    "non-commercial": ("LicenseRef-Non-Commercial", NC),
    "unknown": ("LicenseRef-Not-Stated", NOTHING),
    "No License": ("LicenseRef-Not-Stated", NOTHING),
    "": ("LicenseRef-Not-Stated", NOTHING),
    "All rights reserved": ("LicenseRef-Proprietary", NOTHING),
    "MIT OR Apache-2.0": ("MIT OR Apache-2.0", CREDIT),
}
"""Names on hubs, in repositories and in papers, with the identifier and the terms, each read in the licence's text."""


def told(terms: Terms) -> tuple[str, bool | None, bool | None]:
    return terms.commercial, terms.attribution, terms.share_alike


def test_names_in_the_wild_have_an_identifier_and_terms() -> None:
    assert len(IN_THE_WILD) >= 60
    read = {name: read_licence(name) for name in IN_THE_WILD}
    assert {name: (found.id, told(found.terms)) for name, found in read.items()} == IN_THE_WILD


def test_every_identifier_is_one_of_spdx_or_a_licenseref() -> None:
    known = license_expression.get_spdx_licensing().known_symbols
    named = {*LICENCES, *(each for candidates, _ in AMBIGUOUS.values() for each in candidates)}
    assert {each for each in named if not each.startswith("LicenseRef-") and each not in known} == set()


SCANCODE = {
    "LicenseRef-Public-Domain": "public-domain",
    "LicenseRef-Llama-1": "llama-license-2023",
    "LicenseRef-Llama-2": "llama-2-license-2023",
    "LicenseRef-Llama-3.1": "llama-3.1-license-2024",
    "LicenseRef-Llama-3.2": "llama-3.2-license-2024",
    "LicenseRef-Llama-3.3": "llama-3.3-license-2024",
    "LicenseRef-Gemma": "gemma-tou-2024-04-01",
    "LicenseRef-BigScience-BLOOM-RAIL-1.0": "bigscience-rail-1.0",
    "LicenseRef-BigScience-OpenRAIL-M": "bigscience-open-rail-m",
    "LicenseRef-BigCode-OpenRAIL-M": "bigcode-open-rail-m-v1",
    "LicenseRef-DeepSeek": "deepseek-la-1.0",
    "LicenseRef-Qwen": "tongyi-qianwen-2023",
    "LicenseRef-OpenAI-Terms": "openai-tou-20241211",
}
"""What ScanCode calls the terms that SPDX does not list."""
OTHERWISE = {"Artistic-2.0": "Copyleft Limited"}
"""ScanCode's category of licences whose text we read otherwise. Section 4(b) of the Artistic License 2.0 lets a changed
work of another name be shared without section 4(c), which asks for the same licence."""


def fits(terms: Terms, category: str) -> bool:
    """Whether terms are those of one of ScanCode's categories of licences."""
    if category in ("Copyleft", "Copyleft Limited"):
        return told(terms) == SHARE
    if category == "Public Domain":
        return told(terms) == FREE
    if category == "Permissive":
        return told(terms) in (FREE, CREDIT) and terms.adaptation is True
    # Source-available, free of charge, or restricted: something is not allowed that open licences allow.
    return terms.commercial != "allowed" or terms.adaptation is False


def test_terms_agree_with_the_categories_of_scancodes_data_base() -> None:
    index = files("license_expression") / "data" / "scancode-licensedb-index.json"
    category: dict[str, str] = {}
    for each in json.loads(index.read_text(encoding="utf-8")):
        spdx = (each["spdx_license_key"], *each["other_spdx_license_keys"])
        category |= dict.fromkeys((each["license_key"], *filter(None, spdx)), each["category"])
    compared = {
        name: category[SCANCODE.get(name, name)]
        for name in LICENCES
        if name in SCANCODE or not name.startswith("LicenseRef-")
    }
    assert len(compared) >= 90
    assert {name: found for name, found in compared.items() if not fits(LICENCES[name].terms, found)} == OTHERWISE


def test_no_name_means_two_licences_and_no_ambiguous_name_means_one() -> None:
    meant: dict[str, set[str]] = {}
    for licence in LICENCES.values():
        for name in (licence.id, *licence.names):
            meant.setdefault(normalised(name), set()).add(licence.id)
    assert {name: ids for name, ids in meant.items() if len(ids) > 1 or name in AMBIGUOUS} == {}


@pytest.mark.parametrize(
    ("name", "candidates", "terms"),
    [
        ("BSD", ("BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"), CREDIT),
        ("CC-BY", ("CC-BY-1.0", "CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0"), CREDIT),
        ("cc by-nc-sa", tuple(f"CC-BY-NC-SA-{each}" for each in ("1.0", "2.0", "2.5", "3.0", "4.0")), NC_SA),
        ("gpl-3.0", ("GPL-3.0-only", "GPL-3.0-or-later"), SHARE),
        ("GNU LGPL", AMBIGUOUS["lgpl"][0], SHARE),
        ("Creative Commons", AMBIGUOUS["creative commons"][0], ("unknown", True, None)),
        ("Llama license", AMBIGUOUS["llama"][0], ("unknown", True, False)),
        ("other", (), NOTHING),
    ],
)
def test_an_ambiguous_name_is_listed_with_the_terms_that_all_candidates_share(
    name: str, candidates: tuple[str, ...], terms: tuple[str, bool | None, bool | None]
) -> None:
    found = read_licence(name)
    assert found.id is None and found.problem
    assert (found.candidates, told(found.terms)) == (candidates, terms)


def test_what_is_not_understood_is_never_guessed() -> None:
    for name in ("see website", "MIT-like", "Apache-2.0 with Commons Clause", "cc-by-sa-nd-4.0", "x" * 10_000):
        found = read_licence(name)
        assert found.id is None and told(found.terms) == NOTHING, name
        assert found.shown.startswith("LicenseRef-") and len(found.shown) < 80
    assert [each.id for each in read_licences("ODC-BY, CC BY 4.0 and MIT")] == ["ODC-By-1.0", "CC-BY-4.0", "MIT"]
    assert [each.id for each in read_licences("Apache License, Version 2.0")] == ["Apache-2.0"]
    assert [each.id for each in read_licences("MIT and some more")] == [None]


def test_every_contract_states_a_licence_that_is_understood_or_inherits_one() -> None:
    unknown = {
        name: [each.written for each in own_licences(contract) if each.id is None]
        for name, contract in CONTRACTS.items()
    }
    assert {name: written for name, written in unknown.items() if written} == {}
    assert all(licences_of(name, CONTRACTS) for name in CONTRACTS)


def test_a_model_carries_the_licences_of_every_table_upstream() -> None:
    held = {each.id: each.tables for each in licences_of("models.checkpoints", CONTRACTS)}
    assert held.keys() == {"LicenseRef-Web-Page", "LicenseRef-Common-Crawl"}
    assert "dclm.pool" in held["LicenseRef-Common-Crawl"]
    stated = {
        reading.shown
        for table in ancestors("mathfish.results", CONTRACTS)
        for reading in own_licences(CONTRACTS[table])
    }
    assert {each.id for each in licences_of("mathfish.results", CONTRACTS)} == stated


def test_a_mixture_counts_the_licences_of_its_rows(tmp_path: Path) -> None:
    rows = good_rows()["tulu.rows"]
    named = ("odc-by", "ODC-BY 1.0", "cc-by-nc-4.0", "GPL", "")
    rows = [{**rows[0], "row_id": f"{number:016x}", "licence": name} for number, name in enumerate(named)]
    lake = Lake.of(write_rows(settings_in(tmp_path), {"tulu.rows": rows}))
    held = {each.id: each for each in licences_of("tulu.mixture", CONTRACTS, rows_by_licence(lake))}
    assert held["ODC-By-1.0"].rows == 2 and held["ODC-By-1.0"].written == ("ODC-BY 1.0", "odc-by")
    assert held["CC-BY-NC-4.0"].terms.commercial == "forbidden"
    assert held["LicenseRef-GPL"].problem == f"no version: one of {', '.join(AMBIGUOUS['gpl'][0])}"
    assert held["LicenseRef-Own-Licence"].rows == 1


def carried(*ids: str, table: str = "one.source") -> list[Held]:
    return [Held(id=each, terms=read_licence(each).terms, tables=(table,), written=(each,)) for each in ids]


DERIVED = CONTRACTS["tulu.mixture"]


@pytest.mark.parametrize(
    ("ids", "conflict"),
    [
        (("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"), "CC-BY-NC-SA-4.0 + CC-BY-SA-4.0"),
        (("GPL-2.0-only", "Apache-2.0"), "Apache-2.0 + GPL-2.0-only"),
        (("GPL-2.0-only", "GPL-3.0-only"), "GPL-2.0-only + GPL-3.0-only"),
        (("ODbL-1.0", "CC-BY-SA-4.0"), "CC-BY-SA-4.0 + ODbL-1.0"),
        (("CC-BY-ND-4.0",), "CC-BY-ND-4.0"),
        (("CC-BY-SA-3.0", "CC-BY-SA-4.0"), None),
        (("CC-BY-SA-4.0", "GPL-3.0-or-later"), None),
        (("GPL-2.0-or-later", "GPL-3.0-only", "Apache-2.0"), None),
        (("MIT", "CC-BY-NC-4.0", "ODbL-1.0"), None),
    ],
)
def test_share_alike_licences_that_exclude_each_other_are_a_conflict(ids: tuple[str, ...], conflict: str) -> None:
    found = conflicts(DERIVED, carried(*ids), LicencesSettings())
    assert [each.name for each in found] == ([conflict] if conflict else [])
    assert conflicts(DERIVED, carried(*ids), LicencesSettings(accept=[conflict or ""])) == []


def test_a_table_that_is_only_kept_may_hold_licences_that_no_work_could_combine() -> None:
    source: Contract = CONTRACTS["mathfish.standards"]
    assert conflicts(source, carried("CC-BY-ND-4.0", table=source.name), LicencesSettings()) == []


def test_the_settings_forbid_licences_by_name_by_use_and_by_what_is_known() -> None:
    held = carried("MIT", "CC-BY-NC-4.0", "LicenseRef-Not-Stated")

    def names(**settings: Any) -> list[str]:
        return [each.name for each in conflicts(DERIVED, held, LicencesSettings(**settings))]

    assert names() == []
    assert names(commercial=True) == ["CC-BY-NC-4.0"]
    assert names(known=True) == ["LicenseRef-Not-Stated"]
    assert names(forbid=["MIT"]) == ["MIT"]
    assert names(commercial=True, accept=["CC-BY-NC-4.0"]) == []


def test_a_forbidden_combination_fails_the_check_of_the_table_that_inherits_it(tmp_path: Path) -> None:
    from quality.gate import check

    rows = good_rows()
    row = rows["tulu.rows"][0]
    rows["tulu.rows"] = [
        {**row, "row_id": f"{number:016x}", "licence": name}
        for number, name in enumerate(("CC BY-SA 4.0", "cc-by-nc-sa-4.0"))
    ]
    named = ("tulu.rows", "tulu.mixture")
    settings = write_rows(settings_in(tmp_path), {name: rows[name] for name in named})
    failed = [each for each in check(settings, ["tulu.mixture"]) if each.label == "licences"]
    assert [each.observed.split(":")[0] for each in failed] == ["CC-BY-NC-SA-4.0 + CC-BY-SA-4.0"]
    assert failed[0].failed and "tulu.rows" in failed[0].observed
