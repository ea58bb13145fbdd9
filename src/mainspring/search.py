"""The grammar of searches: comparisons joined by AND, OR, NOT and parentheses, and what a result is ordered by.

It takes all that MLflow's servers take, in which comparisons can be joined by AND alone and IN is known for a few keys.
What may be compared, and how, is a table per kind of thing that is searched (`RUNS`, `EXPERIMENTS`, …).
"""

from __future__ import annotations

__all__ = [
    "EXPERIMENTS",
    "LOGGED_MODELS",
    "MODEL_VERSIONS",
    "REGISTERED_MODELS",
    "RUNS",
    "AllOf",
    "AnyOf",
    "Comparison",
    "Condition",
    "Entity",
    "Found",
    "Negation",
    "Operator",
    "Order",
    "Search",
    "SearchUnclear",
    "Searchable",
    "View",
    "parse_columns",
    "parse_filter",
    "parse_order",
]

import math
import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from mainspring.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")

_DEPTH = 30
_COMPARISONS = 200
_LENGTH = 100_000
_INT64 = 2**63


class SearchUnclear(Invalid):
    """A filter or an order that cannot be understood."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text, why)
        self.text, self.why = text, why

    def __str__(self) -> str:
        return f"Invalid clause(s) in filter string: {self.why} (in {self.text[:200]!r})"


class Entity(StrEnum):
    """What a key belongs to."""

    ATTRIBUTE = "attribute"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    DATASET = "dataset"
    ALIAS = "alias"


class Operator(StrEnum):
    """How a key is compared with a value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


_ORDERED = frozenset(
    {Operator.EQUAL, Operator.UNEQUAL, Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST}
)
_LISTS = frozenset({Operator.IN, Operator.NOT_IN})
_NULLS = frozenset({Operator.IS_NULL, Operator.IS_NOT_NULL})
_TEXTS = frozenset({Operator.EQUAL, Operator.UNEQUAL, Operator.LIKE, Operator.ILIKE}) | _LISTS


class Kind(Enum):
    """What the values of a key are, and so how they can be compared."""

    NUMBER = "a number"
    WHOLE = "a whole number"
    COUNT = "a whole number, in quotes or not"
    TEXT = "a text in quotes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A key compared with a value: a number, a text, a tuple of them for lists, None for IS NULL."""

    entity: Entity
    key: str
    operator: Operator
    value: float | int | str | tuple[float | int | str, ...] | None


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; of none, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One part holds at least."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The opposite of what its part says."""

    part: Condition


Condition = Comparison | AllOf | AnyOf | Negation


@dataclass(frozen=True, slots=True)
class Order:
    """What comes first: by a key, the absent last in either direction."""

    entity: Entity
    key: str
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class Searchable:
    """What can be asked about one kind of thing.

    Attributes
    ----------
    entities : mapping
        The entity that each prefix names.
    attributes : mapping
        The attributes, and what their values are.
    synonyms : mapping
        Other names of attributes.
    """

    entities: Mapping[str, Entity]
    attributes: Mapping[str, Kind]
    synonyms: Mapping[str, str]

    def resolve(self, text: str, prefix: str | None, key: str) -> tuple[Entity, str]:
        """Give what a key names; raises `SearchUnclear`."""
        entity = Entity.ATTRIBUTE if prefix is None else self.entities.get(prefix.lower())
        if entity is None:
            known = ", ".join(sorted(self.entities))
            raise SearchUnclear(text, f"Invalid entity type {prefix!r}. Valid entity types are {known}")
        if entity is Entity.ATTRIBUTE:
            key = self.synonyms.get(key, key)
            if key not in self.attributes:
                known = ", ".join(sorted(self.attributes))
                raise SearchUnclear(text, f"Invalid attribute key {key!r} specified. Valid keys are {known}")
        if entity is Entity.DATASET and key not in _DATASET_KEYS:
            raise SearchUnclear(
                text, f"Invalid dataset key {key!r}. Valid keys are {', '.join(_DATASET_KEYS)}"
            )
        if entity is Entity.ALIAS and key != "name":
            raise SearchUnclear(text, f"Invalid alias key {key!r}. An alias has only a name")
        return entity, key

    def kind(self, entity: Entity, key: str) -> Kind:
        """Give what the values of a key are."""
        if entity is Entity.ATTRIBUTE:
            return self.attributes[key]
        return Kind.NUMBER if entity is Entity.METRIC else Kind.TEXT


_DATASET_KEYS = ("name", "digest", "context")
_ATTRIBUTES = dict.fromkeys(("attribute", "attributes", "attr", "run"), Entity.ATTRIBUTE)
_TAGS = dict.fromkeys(("tag", "tags"), Entity.TAG)
_METRICS = dict.fromkeys(("metric", "metrics"), Entity.METRIC)
_PARAMS = dict.fromkeys(("param", "params", "parameter", "parameters"), Entity.PARAM)

RUNS = Searchable(
    entities=_ATTRIBUTES
    | _TAGS
    | _METRICS
    | _PARAMS
    | dict.fromkeys(("dataset", "datasets"), Entity.DATASET),
    attributes={
        "run_id": Kind.TEXT,
        "run_name": Kind.TEXT,
        "user_id": Kind.TEXT,
        "status": Kind.TEXT,
        "artifact_uri": Kind.TEXT,
        "start_time": Kind.WHOLE,
        "end_time": Kind.WHOLE,
    },
    synonyms={
        "created": "start_time",
        "Created": "start_time",
        "run name": "run_name",
        "Run name": "run_name",
        "Run Name": "run_name",
        "User": "user_id",
        "Start Time": "start_time",
        "run ID": "run_id",
        "Run ID": "run_id",
    },
)

EXPERIMENTS = Searchable(
    entities=_ATTRIBUTES | _TAGS,
    attributes={
        "name": Kind.TEXT,
        "experiment_id": Kind.TEXT,
        "creation_time": Kind.WHOLE,
        "last_update_time": Kind.WHOLE,
    },
    synonyms={},
)

LOGGED_MODELS = Searchable(
    entities=_ATTRIBUTES | _TAGS | _METRICS | _PARAMS,
    attributes={
        "name": Kind.TEXT,
        "model_id": Kind.TEXT,
        "experiment_id": Kind.TEXT,
        "source_run_id": Kind.TEXT,
        "status": Kind.TEXT,
        "model_type": Kind.TEXT,
        "creation_timestamp": Kind.WHOLE,
        "last_updated_timestamp": Kind.WHOLE,
    },
    synonyms={"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"},
)

REGISTERED_MODELS = Searchable(
    entities=_ATTRIBUTES | _TAGS | dict.fromkeys(("alias", "aliases"), Entity.ALIAS),
    attributes={"name": Kind.TEXT, "creation_timestamp": Kind.WHOLE, "last_updated_timestamp": Kind.WHOLE},
    synonyms={"timestamp": "last_updated_timestamp"},
)

MODEL_VERSIONS = Searchable(
    entities=_ATTRIBUTES | _TAGS | dict.fromkeys(("alias", "aliases"), Entity.ALIAS),
    attributes={
        "name": Kind.TEXT,
        "run_id": Kind.TEXT,
        "source_path": Kind.TEXT,
        "current_stage": Kind.TEXT,
        "version_number": Kind.COUNT,
        "creation_timestamp": Kind.WHOLE,
        "last_updated_timestamp": Kind.WHOLE,
    },
    synonyms={"version": "version_number", "stage": "current_stage", "source": "source_path"},
)


class View(StrEnum):
    """Which of what is searched may be found."""

    ACTIVE = "ACTIVE_ONLY"
    DELETED = "DELETED_ONLY"
    ALL = "ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for, and which page of it.

    Attributes
    ----------
    condition : Condition
        What each must meet.
    orders : tuple of Order
        What comes first; equals are in the order that is usual for their kind.
    limit : int
        How many a page holds.
    token : str
        What the page before said; empty for the first.
    columns : frozenset of (Entity, str), optional
        Which metrics, params and tags are given with each, where not all are wanted.
    """

    condition: Condition
    orders: tuple[Order, ...] = ()
    view: View = View.ACTIVE
    limit: int
    token: str = ""
    columns: frozenset[tuple[Entity, str]] | None = None

    def keys(self, entity: Entity) -> list[str] | None:
        """The keys of a kind of entry that are wanted; None for all."""
        if self.columns is None:
            return None
        return sorted(key for kind, key in self.columns if kind is entity)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """One page, and the token of the next; empty on the last."""

    items: tuple[T, ...]
    token: str = ""


_REST = re.compile(r"\s*\Z")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"[^"]*"|`[^`]*`)
      | (?P<number>[-+]?(?:\d+\.?\d*|(?<![\w`"])\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<operator><=|>=|!=|<>|==|=|<|>)
      | (?P<mark>[(),.])
      | (?P<word>[A-Za-z_0-9][\w\-/:]*)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word

    def is_mark(self, mark: str) -> bool:
        return self.kind == "mark" and self.text == mark


_END = _Token("end", "")


def parse_filter(text: str, searchable: Searchable) -> Condition:
    """Read a filter; an empty one holds for everything.

    Raises
    ------
    SearchUnclear
        It is malformed, names what is not there, or compares what cannot be compared.

    Examples
    --------
    >>> parse_filter("metrics.auc > 0.9", RUNS)
    Comparison(entity=<Entity.METRIC: 'metric'>, key='auc', operator=<Operator.GREATER: '>'>, value=0.9)
    """
    if not text.strip():
        return AllOf(())
    parser = _Parser(text, searchable)
    found = parser.any_of(0)
    if parser.next is not _END:
        parser.refuse(f"nothing was expected before {parser.next.text[:50]!r}")
    return found


def parse_order(texts: Iterable[str], searchable: Searchable) -> tuple[Order, ...]:
    """Read what a result is to be ordered by, each `key`, `key ASC` or `key DESC`; raises `SearchUnclear`."""
    orders: list[Order] = []
    for text in texts:
        parser = _Parser(text, searchable)
        entity, key = parser.key()
        if entity in (Entity.DATASET, Entity.ALIAS):
            parser.refuse(f"Invalid order_by entity {entity.value!r}: a {entity.value} gives no order")
        ascending = not parser.took_word("DESC")
        if ascending:
            parser.took_word("ASC")
        if parser.next is not _END:
            parser.refuse("Invalid order_by clause: a key is followed by ASC or DESC at most")
        orders.append(Order(entity, key, ascending))
    named = [(order.entity, order.key) for order in orders]
    if len(set(named)) < len(named):
        raise SearchUnclear(", ".join(texts), "`order_by` contains duplicate fields")
    return tuple(orders)


def parse_columns(texts: Iterable[str], searchable: Searchable) -> frozenset[tuple[Entity, str]]:
    """Read which entries are wanted, each `metrics.KEY`, `params.KEY` or `tags.KEY`; raises `SearchUnclear`."""
    columns = set()
    for text in texts:
        parser = _Parser(text, searchable)
        entity, key = parser.key()
        if entity not in (Entity.METRIC, Entity.PARAM, Entity.TAG):
            parser.refuse(
                "Invalid column: it is metrics.KEY, params.KEY or tags.KEY; attributes are always given"
            )
        if parser.next is not _END:
            parser.refuse("Invalid column: nothing follows a key")
        columns.add((entity, key))
    return frozenset(columns)


class _Parser:
    """Reads one text from left to right, one token ahead."""

    def __init__(self, text: str, searchable: Searchable) -> None:
        self.text, self.searchable = text, searchable
        if len(text) > _LENGTH:
            self.refuse(f"it has {len(text)} characters, and {_LENGTH} is the most")
        self.at = 0
        self.comparisons = 0
        self.next = _END
        self.step()

    def refuse(self, why: str) -> NoReturn:
        raise SearchUnclear(self.text, why)

    def step(self) -> _Token:
        taken = self.next
        if _REST.match(self.text, self.at):
            self.next = _END
        elif found := _TOKEN.match(self.text, self.at):
            kind = found.lastgroup
            assert kind is not None
            self.next = _Token(kind, found[kind])
            self.at = found.end()
        else:
            self.refuse(f"{self.text[self.at :].strip()[:20]!r} cannot be read")
        return taken

    def took_word(self, word: str) -> bool:
        if not self.next.is_word(word):
            return False
        self.step()
        return True

    def any_of(self, depth: int) -> Condition:
        parts = [self.all_of(depth)]
        while self.took_word("OR"):
            parts.append(self.all_of(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all_of(self, depth: int) -> Condition:
        parts = [self.one(depth)]
        while self.took_word("AND"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def one(self, depth: int) -> Condition:
        if depth > _DEPTH:
            self.refuse(f"it is nested more than {_DEPTH} deep")
        if self.took_word("NOT"):
            return Negation(self.one(depth + 1))
        if self.next.is_mark("("):
            self.step()
            inner = self.any_of(depth + 1)
            if not self.next.is_mark(")"):
                self.refuse("a parenthesis is not closed")
            self.step()
            return inner
        return self.comparison()

    def comparison(self) -> Comparison:
        self.comparisons += 1
        if self.comparisons > _COMPARISONS:
            self.refuse(f"it has more than {_COMPARISONS} comparisons")
        entity, key = self.key()
        operator = self.operator()
        kind = self.searchable.kind(entity, key)
        if operator in _NULLS:
            if entity not in (Entity.TAG, Entity.PARAM, Entity.METRIC):
                self.refuse(f"IS NULL asks about tags, params and metrics, and {key!r} is none of them")
            return Comparison(entity, key, operator, None)
        if operator not in (_TEXTS if kind is Kind.TEXT else _ORDERED | _LISTS):
            self.refuse(
                f"Invalid comparator {operator.value!r} for {key!r}, whose values are {kind.value} each"
            )
        return Comparison(
            entity, key, operator, self.values(kind) if operator in _LISTS else self.value(kind)
        )

    def key(self) -> tuple[Entity, str]:
        prefix, key = None, self.name()
        if self.next.is_mark("."):
            self.step()
            prefix, key = key, self.name()
            # What follows the first point is one key, whatever points it holds.
            while self.next.is_mark("."):
                self.step()
                key += "." + self.name()
        return self.searchable.resolve(self.text, prefix, key)

    def name(self) -> str:
        token = self.step()
        if token.kind == "quoted":
            return token.text[1:-1]
        if token.kind not in ("word", "number"):
            self.refuse(
                f"a key was expected, and not {token.text[:50]!r}" if token.text else "a key is missing"
            )
        return token.text

    def operator(self) -> Operator:
        token = self.step()
        if token.kind == "operator":
            return Operator({"==": "=", "<>": "!="}.get(token.text, token.text))
        word = token.text.upper() if token.kind == "word" else ""
        if word == "NOT" and self.took_word("IN"):
            return Operator.NOT_IN
        if word == "IS":
            negated = self.took_word("NOT")
            if self.took_word("NULL"):
                return Operator.IS_NOT_NULL if negated else Operator.IS_NULL
        if word in ("IN", "LIKE", "ILIKE"):
            return Operator(word)
        self.refuse(f"a comparator was expected, and not {token.text[:50]!r}")

    def values(self, kind: Kind) -> tuple[float | int | str, ...]:
        if not self.next.is_mark("("):
            self.refuse("IN is followed by a list in parentheses")
        self.step()
        values = [self.value(kind)]
        while self.next.is_mark(","):
            self.step()
            if self.next.is_mark(")"):
                break
            values.append(self.value(kind))
        if not self.next.is_mark(")"):
            self.refuse("the list after IN is not closed")
        self.step()
        return tuple(values)

    def value(self, kind: Kind) -> float | int | str:
        token = self.step()
        if kind is Kind.TEXT:
            if token.kind == "text":
                return self.kept(token.text[1:-1].replace("''", "'"))
            if token.kind == "quoted" and token.text.startswith('"'):
                return self.kept(token.text[1:-1])
        elif kind is Kind.NUMBER:
            if token.kind == "number" and math.isfinite(number := float(token.text)):
                return number
        elif token.kind == "number" or (kind is Kind.COUNT and token.kind == "text"):
            digits = token.text.strip("'")
            if re.fullmatch(r"[-+]?\d{1,19}", digits) and -_INT64 <= (whole := int(digits)) < _INT64:
                return whole
        self.refuse(f"the value must be {kind.value}, and {token.text[:50]!r} is not")

    def kept(self, text: str) -> str:
        if "\0" in text:
            self.refuse("it holds the character NUL, which no value has")
        return text
