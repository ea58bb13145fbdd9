"""Feast's definitions as a product file has them, and what of them it has not."""

from __future__ import annotations

__all__ = ["Imported", "Left", "product_file"]

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from mainspring.operate.feast.definitions import Definitions, Projection, Source, View

_TYPES = {
    "Bool": "bool", "Int32": "int", "Int64": "int", "Float32": "float", "Float64": "float", "String": "str",
    "UnixTimestamp": "Moment",
    "BOOL": "bool", "INT32": "int", "INT64": "int", "FLOAT": "float", "DOUBLE": "float", "STRING": "str",
}  # fmt: skip
_FOREVER = "36500d"
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class Left(msgspec.Struct, frozen=True):
    """A definition that was not taken, or not as it was, and why."""

    what: str
    why: str


class Imported(msgspec.Struct, frozen=True):
    """What became of a repository's definitions.

    Attributes
    ----------
    code : str
        Python code: contracts, datasets and feature views for a product file.
    views, services : list of str
        Those that are in it, by name.
    sources : dict of str to str
        Where Feast has read the rows of each dataset.
    left : list of Left
    """

    code: str
    views: list[str]
    services: list[str]
    sources: dict[str, str]
    left: list[Left]


@dataclass(slots=True)
class _Rows:
    """A source as a dataset, as its views are found: the columns by the source's names, and those that name a row."""

    source: Source
    name: str
    columns: dict[str, str] = field(default_factory=dict)
    entities: list[str] = field(default_factory=list)

    def column(self, name: str) -> str:
        """Name the source's column of what views call otherwise."""
        return next((own for own, theirs in self.source.renamed.items() if theirs == name), name)


def product_file(found: Definitions) -> Imported:
    """Write definitions as a part of a product file.

    A view takes its columns from its source by the names there, and its service's join keys and aliases become views of
    their own. What one of ours cannot say is left, and told.

    Parameters
    ----------
    found : Definitions
    """
    left: list[Left] = [
        Left(
            f"on-demand view {name}",
            "it is a function: declare it with `@ms.computed`, on the product's inputs",
        )
        for name in found.on_demand
    ]
    datasets: dict[str, _Rows] = {}
    views: dict[str, tuple[View, str]] = {}
    code: list[str] = []
    for view in found.views:
        why = _why_not(view, found)
        if why:
            left.append(Left(f"feature view {view.name}", why))
            continue
        assert view.source is not None
        key, key_type = found.entities[view.entities[0]]
        rows = datasets.setdefault(view.source.name, _Rows(view.source, _name(view.source.name, left)))
        rows.columns.setdefault(rows.column(key), _TYPES[key_type])
        rows.entities = [*dict.fromkeys([*rows.entities, rows.column(key)])]
        taken = {}
        for name, dtype in view.features.items():
            if dtype in _TYPES:
                taken[name] = dtype
                rows.columns.setdefault(rows.column(name), f"{_TYPES[dtype]} = pa.Field(nullable=True)")
            else:
                left.append(Left(f"feature {view.name}:{name}", f"no feature is of type {dtype}"))
        if not taken:
            left.append(Left(f"feature view {view.name}", "none of its features is of a type that is taken"))
            continue
        view = msgspec.structs.replace(view, features=taken)
        views[view.name] = view, key
        code += _view(rows, view, _name(view.name, left), key, key, {name: name for name in taken})
    services = {}
    for service in found.services:
        parts = []
        for each in service.views:
            if each.view not in views:
                left.append(Left(f"{each.view} in service {service.name}", "the view was not taken"))
                continue
            view, key = views[each.view]
            name = _name(each.alias or each.view, left)
            if each.alias or each.keys:
                prefix = f"{name}__" if each.alias else ""
                named = {prefix + feature: feature for feature in each.features if feature in view.features}
                name = name if each.alias else f"{name}_of_{_name(service.name, left)}"
                assert view.source is not None
                code += _view(datasets[view.source.name], view, name, each.keys.get(key, key), key, named)
            parts.append((name, each, view))
        services[service.name] = parts
    lines = _head(found) + [line for rows in datasets.values() for line in _dataset(rows)] + code
    for name, parts in services.items():
        if parts:
            lines += _service(name, parts)
    return Imported(
        code="\n".join([*lines, ""]),
        views=[*views],
        services=[name for name, parts in services.items() if parts],
        sources={rows.name: rows.source.place for rows in datasets.values()},
        left=left,
    )


def _why_not(view: View, found: Definitions) -> str:
    """Say why a view cannot be taken; empty where it can."""
    entities = [each for each in view.entities if not each.startswith("__")]
    if len(entities) != 1:
        how = f"{len(entities)} entities ({', '.join(entities)})" if entities else "no entity"
        return f"it has {how}, and a view here has one: make them one column, in the source and in the product's rows"
    if entities[0] not in found.entities:
        return f"its entity {entities[0]!r} is not defined"
    if found.entities[entities[0]][1] not in _TYPES:
        return f"its join key is of type {found.entities[entities[0]][1]}"
    if view.source is None:
        return f"as a {view.kind} it has no batch source"
    if not view.source.event_time:
        return f"its source {view.source.name!r} names no timestamp_field"
    return ""


def _name(name: str, left: list[Left]) -> str:
    """A name that is valid here; tells where that is another one."""
    valid = re.sub(r"[^a-z0-9_-]", "_", name.lower()).lstrip("_-")[:63] or "view"
    told = Left(name, f"names are of a-z, 0-9, _ and -, so it is {valid!r} here")
    if valid != name and told not in left:
        left.append(told)
    return valid


def _variable(name: str) -> str:
    found = re.sub(r"\W", "_", name)
    return f"{found}_" if keyword.iskeyword(found) or not found.isidentifier() else found


def _ttl(seconds: float) -> str:
    whole = int(seconds)
    return (
        next((f"{whole // size}{unit}" for unit, size in _UNITS if whole % size == 0), "1s")
        if whole
        else _FOREVER
    )


def _head(found: Definitions) -> list[str]:
    return [
        f'"""Feature views as Feast {found.feast} has defined them.',
        "",
        "Complete the contracts, add rows with `mainspring data add`, and name views and inputs in a product.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Annotated",
        "",
        "import pandera.polars as pa",
        "import polars as pl",
        "",
        "import mainspring as ms",
        "",
        'Moment = Annotated[pl.Datetime, "us", "UTC"]',
    ]


def _dataset(rows: _Rows) -> list[str]:
    source = rows.source
    times = [each for each in (source.event_time, source.known_at) if each]
    model = "".join(word.capitalize() for word in re.split(r"[^A-Za-z0-9]+", rows.name))
    model = model if model[:1].isalpha() else f"Rows{model}"
    columns = {**dict.fromkeys(times, "Moment"), **{n: t for n, t in rows.columns.items() if n not in times}}
    key = [*rows.entities, *times]
    return [
        "",
        "",
        f"class {model}(pa.DataFrameModel):",
        *(f"    {name}: {of}" for name, of in columns.items()),
        "",
        "",
        f"# Feast has read it from {source.place or source.name}.",
        f"{_variable(rows.name)}_rows = ms.Dataset(",
        f"    {rows.name!r},",
        f"    key={key!r},",
        f"    event_time={source.event_time!r},",
        *([f"    known_at={source.known_at!r},"] if source.known_at else []),
        f"    schema={model},",
        ")",
    ]


def _view(rows: _Rows, view: View, name: str, entity: str, key: str, named: dict[str, str]) -> Iterator[str]:
    features = []
    for feature, of in named.items():
        column = rows.column(of)
        features.append(repr(feature) if column == feature else f"ms.Renamed({column!r}, {feature!r})")
    own = rows.column(key)
    yield f"{_variable(name)} = ms.FeatureView("
    yield f"    {name!r},"
    yield f"    source={_variable(rows.name)}_rows,"
    yield f"    entity={entity!r},"
    if own != entity:
        yield f"    source_entity={own!r},"
    yield f"    event_time={view.source.event_time if view.source else ''!r},"
    yield f"    ttl={_ttl(view.ttl_s)!r},"
    yield f"    features=[{', '.join(features)}],"
    if view.online:
        yield '    online="store",'
    yield ")"


def _service(name: str, parts: Sequence[tuple[str, Projection, View]]) -> list[str]:
    inputs = [
        f"{view}__{feature}" if each.alias else feature
        for view, each, of in parts
        for feature in each.features
        if feature in of.features
    ]
    variable = _variable(name)
    return [
        "",
        f"# Feature service {name}: a product with these features and inputs.",
        f"{variable}_features = [{', '.join(_variable(view) for view, _, _ in parts)}]",
        f"{variable}_inputs = {inputs!r}",
    ]
