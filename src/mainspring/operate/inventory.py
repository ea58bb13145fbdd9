"""What an environment consists of, with its licences, as a software bill of materials."""

from __future__ import annotations

__all__ = ["bill_of_materials", "by_licence", "licences_of"]

import platform
import re
import uuid
from importlib.metadata import distributions
from typing import TYPE_CHECKING

from mainspring.digest import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import PackageMetadata

_OSI = "License :: OSI Approved :: "
_LICENCE = "License :: "
_LONGEST = 120
"""Of a licence's name: what is longer is the licence itself."""


def bill_of_materials() -> dict[str, object]:
    """Name every distribution that is installed beside this process, in CycloneDX 1.6 [1]_.

    The same environment gives the same document: it has no time, and its serial number follows from its content.

    Returns
    -------
    dict
        JSON. A component without `licenses` does not say which it has.

    References
    ----------
    .. [1] OWASP Foundation (2024). CycloneDX Bill of Materials Specification, ECMA-424.
    """
    # Each reading of a distribution's metadata parses all of it.
    told = [each.metadata for each in distributions()]
    installed = {_normal(each["Name"]): each for each in told if each["Name"]}
    refs = {name: f"pkg:pypi/{name}@{each['Version']}" for name, each in installed.items()}
    components = [
        {
            "type": "platform",
            "bom-ref": "python",
            "name": platform.python_implementation(),
            "version": platform.python_version(),
        },
        *(
            {
                "type": "library",
                "bom-ref": refs[name],
                "name": each["Name"],
                "version": each["Version"],
                "purl": refs[name],
                **({"licenses": licences} if (licences := licences_of(each)) else {}),
            }
            for name, each in sorted(installed.items())
        ),
    ]
    dependencies = [
        {"ref": refs[name], "dependsOn": sorted(refs[needed] for needed in _needed(each) if needed in refs)}
        for name, each in sorted(installed.items())
    ]
    content = canonical_json([components, dependencies])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}]},
        "components": components,
        "dependencies": dependencies,
    }


def licences_of(told: PackageMetadata) -> list[dict[str, object]]:
    """Give the licences that metadata declare: the SPDX expression [1]_, else classifiers, else the words.

    References
    ----------
    .. [1] PEP 639, "Improving License Clarity with Better Package Metadata".
    """
    if expression := _first(told, "License-Expression"):
        return [{"expression": expression, "acknowledgement": "declared"}]
    names = [
        each.removeprefix(_OSI).removeprefix(_LICENCE).rpartition(" :: ")[2]
        for each in told.get_all("Classifier") or ()
        if each.startswith(_LICENCE) and each != _OSI.removesuffix(" :: ")
    ]
    words = _first(told, "License").strip().partition("\n")[0]  # of a whole licence, its title
    if not names and words and words.upper() != "UNKNOWN" and len(words) <= _LONGEST:
        names = [words]
    return [{"license": {"name": name, "acknowledgement": "declared"}} for name in dict.fromkeys(names)]


def by_licence(bill: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Give name, version and licences of each component of a bill, for people."""
    rows = []
    for each in bill["components"]:  # type: ignore[attr-defined]
        names = [
            licence.get("expression") or licence["license"].get("id") or licence["license"]["name"]
            for licence in each.get("licenses", ())
        ]
        rows.append((each["name"], each["version"], ", ".join(names)))
    return rows


def _first(told: PackageMetadata, name: str) -> str:
    return next(iter(told.get_all(name) or ()), "")


def _needed(told: PackageMetadata) -> set[str]:
    """The distributions that one needs, but for those that only its extras need."""
    wanted = (each for each in told.get_all("Requires-Dist") or () if "extra ==" not in each)
    found = (re.match(r"[A-Za-z0-9._-]+", each.strip()) for each in wanted)
    return {_normal(each[0]) for each in found if each}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
