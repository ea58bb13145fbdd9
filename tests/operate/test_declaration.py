"""A product file that contradicts itself gets one message with all that is wrong; a step's key names what it uses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.operate.tiny import PRODUCT, begin, head

from mainspring.errors import Faults
from mainspring.operate.declaration import ProductFileInvalid, load, load_all
from mainspring.operate.declare import DeclarationInvalid, declare
from mainspring.operate.step_code import step_code
from mainspring.product import ProductSpec

TINY = (PRODUCT / "product.py").read_text()
FUTURE = "from __future__ import annotations\n"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product file's folder stays importable; after a test it shall not."""
    monkeypatch.setattr(sys, "path", sys.path[:])


def changed(*changes: tuple[str, str], text: str = TINY) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def describe(folder: Path, text: str = TINY) -> ProductSpec:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "product.py"
    file.write_text(text)
    loaded = load_all((file,), folder)
    for refused in loaded.refused.values():
        raise refused
    ((_, spec),) = loaded.products
    return spec


def test_a_sound_file_gives_the_declaration_as_values(tmp_path: Path) -> None:
    spec = describe(tmp_path)
    assert (spec.name, spec.file) == ("tiny", "product.py")
    assert [column.name for column in spec.inputs] == ["amount", "hour", "kind"]
    assert [(step.name, step.params) for step in spec.steps] == [
        ("recent", {"days": 60}),
        ("train", {"rounds": 20, "learning_rate": 0.2, "seed": 0}),
    ]
    assert describe(tmp_path / "again") == spec


def test_the_same_declaration_under_a_second_name_is_one_product(tmp_path: Path) -> None:
    assert describe(tmp_path, TINY + "\nalso = product\n").name == "tiny"


# --- files that do not import ------------------------------------------------------------------------------------

LAST = TINY.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TINY + "product = (\n", ["line", "no valid Python", "'(' was never closed"]),
        (TINY + "import nowhere_to_be_found\n", [f"line {LAST}", "does not import", "nowhere_to_be_found"]),
        (TINY + "1 / 0\n", [f"line {LAST}", "ZeroDivisionError"]),
        (TINY + "raise SystemExit('stop')\n", [f"line {LAST}", "SystemExit", "stop"]),
        (TINY + "ms.AtLeast('roc_auc', '0.6')\n", [f"line {LAST}", "must be real number"]),
        (TINY + "ms.NoMoreErrors(alpha=2)\n", [f"line {LAST}", "alpha", "is 2", "between 0 and 1"]),
        (
            TINY + "ms.Dataset('No', key='k', event_time='t', schema=None)\n",
            [f"line {LAST}", "'No'", "lower-case"],
        ),
        (TINY + "ms.step(lambda: 0)\n", [f"line {LAST}", "takes no input"]),
        ("import mainspring as ms\n", ["declares no product", "ms.Product(...)"]),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ProductFileInvalid) as refused:
        describe(tmp_path, text)
    message = str(refused.value)
    assert message.startswith("Product file product.py: ")
    assert all(words in message for words in said), message


def test_a_file_that_is_not_there_is_told_with_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ProductFileInvalid, match="mainspring init"):
        load(tmp_path / "product.py")


def test_a_fault_in_a_file_that_it_imports_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "shares_of_orders.py").write_text("x = 1\nx = = 2\n")
    with pytest.raises(
        ProductFileInvalid, match=r"line 2: shares_of_orders\.py, which it imports, is no valid Python"
    ):
        describe(tmp_path, TINY + "import shares_of_orders\n")


# --- declarations that contradict themselves -----------------------------------------------------------------------

VIEW = """
by_kind = ms.FeatureView(
    "by-kind", source=orders, entity="kind", event_time="{time}", ttl="1d",
    features=[ms.Mean("{column}", over="1d", name="{name}")],
)
"""


def with_view(*, time: str = "settled_at", column: str = "late", name: str = "late_share") -> str:
    return changed(
        (
            "\n@ms.step\ndef recent",
            VIEW.format(time=time, column=column, name=name) + "\n@ms.step\ndef recent",
        ),
        (
            'inputs=["amount", "hour", "kind"],',
            f'inputs=["amount", "hour", "kind", "{name}"],\n    features=[by_kind],',
        ),
    )


GATES = TINY[TINY.index("    gates=[") : TINY.index("    rollout=")]
FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "a key that is not in the schema": (
        changed(('key="order_id"', 'key="order"')),
        "dataset 'orders'",
        ["'order' is not in its schema", "order_id"],
    ),
    "a moment of the label that is not in the schema": (
        changed(('    known_at="settled_at"', '    known_at="settled"')),
        "dataset 'orders'",
        ["'settled'", "settled_at"],
    ),
    "no moment of the label": (
        changed(('    known_at="settled_at",\n', "")),
        "dataset 'orders'",
        ["when a row's label was known", "known_at"],
    ),
    "a label that is no column": (
        changed(('label="late"', 'label="letter"')),
        "label",
        ["'letter' is no column", "late"],
    ),
    "an input that is no column": (
        changed(('inputs=["amount"', 'inputs=["amuont"')),
        "input 'amuont'",
        ["is no column of dataset 'orders'", "amount"],
    ),
    "no inputs": (changed(('inputs=["amount", "hour", "kind"]', "inputs=[]")), "inputs", ["there are none"]),
    "the label as an input": (
        changed(('inputs=["amount"', 'inputs=["late"')),
        "input 'late'",
        ["only known at 'settled_at'", "leave it out"],
    ),
    "an input that is known later": (
        changed(('inputs=["amount"', 'inputs=["settled_at"')),
        "input 'settled_at'",
        ["only known at 'settled_at'", "leave it out"],
    ),
    "no gate": (changed((GATES, "    gates=[],\n")), "gates", ["there are none", "ms.AtLeast"]),
    "a gate with an unknown metric": (
        changed(('ms.AtLeast("roc_auc", 0.6)', 'ms.AtLeast("accuracy", 0.6)')),
        "gate AtLeast",
        ["'accuracy'", "roc_auc"],
    ),
    "a gate against an unknown alias": (
        changed(('NotWorseThan("champion"', 'NotWorseThan("best"')),
        "gate NotWorseThan",
        ["'best'", "'champion'"],
    ),
    "a gate with slices that are no input": (
        changed(('ms.AtLeast("roc_auc", 0.6)', 'ms.AtLeast("roc_auc", 0.6, ("order_id",))')),
        "gate AtLeast slices 'order_id'",
        ["is no input"],
    ),
    "a monitor of a metric that rows do not have": (
        changed(('ms.Quality("log_loss", tolerance=0.02)', 'ms.Quality("profit")')),
        "Quality",
        ["cannot watch 'profit'", "brier", "roc_auc"],
    ),
    "a monitor of a gap that is none": (
        changed(('ms.Quality("log_loss", tolerance=0.02)', 'ms.Fairness("kind", "roc_auc")')),
        "Fairness",
        ["cannot watch 'roc_auc'", "positive_rate"],
    ),
    "a monitor of slices that are no input": (
        changed(('ms.Quality("log_loss", tolerance=0.02)', 'ms.Quality("brier", slices=("order_id",))')),
        "Quality slices 'order_id'",
        ["is no input"],
    ),
    "a monitor of slices that are not logged": (
        changed(
            ('kind: str = pa.Field(', 'kind: str = pa.Field(metadata=ms.pii(hash=True, as_input=True), '),
            ('ms.Quality("log_loss", tolerance=0.02)', 'ms.Fairness("kind")'),
        ),
        "Fairness slices 'kind'",
        ["ms.pii()", "coarser"],
    ),
    "a monitor that is told to ignore what is no input": (
        changed(("ms.InputDrift()", 'ms.InputDrift(ignore=("hours",))')),
        "InputDrift ignore 'hours'",
        ["is no input"],
    ),
    "two monitors of one name": (
        changed(("ms.InputDrift()", "ms.InputDrift(), ms.InputDrift(tolerance=0.1)")),
        "monitor input_drift",
        ["is declared 2 times"],
    ),
    "a guard with a metric that rows do not have": (
        changed(("minimum_units=20)", 'minimum_units=20, guards=(ms.NotWorse("roc_auc"),))')),
        "NotWorse",
        ["'roc_auc' row by row", "brier"],
    ),
    "a guard with slices that are not logged": (
        changed(
            ('kind: str = pa.Field(', 'kind: str = pa.Field(metadata=ms.pii(hash=True, as_input=True), '),
            ("minimum_units=20)", 'minimum_units=20, guards=(ms.NotWorse("log_loss", slices=("kind",)),))'),
        ),
        "guard NotWorse slices 'kind'",
        ["is not logged as it is"],
    ),
    "an input that is about a person": (
        changed(("hour: int = pa.Field(", "hour: int = pa.Field(metadata=ms.pii(), ")),
        "input 'hour'",
        ["about a person", "as_input=True"],
    ),
    "an input that no model may use": (
        changed(
            (
                "hour: int = pa.Field(",
                'hour: int = pa.Field(metadata=ms.forbidden_as_feature("it is a proxy"), ',
            )
        ),
        "input 'hour'",
        ["no model may use", "it is a proxy"],
    ),
    "an input that is known after the outcome": (
        changed(("hour: int = pa.Field(", 'hour: int = pa.Field(metadata=ms.known_at("after outcome"), ')),
        "input 'hour'",
        ["only known after the outcome"],
    ),
    "a check of no column": (
        changed(
            (
                "    schema=Orders,\n",
                '    schema=Orders,\n    checks=[ms.References("nothing", "kinds", "kind")],\n',
            )
        ),
        "dataset 'orders'",
        ["References of 'nothing'", "no column"],
    ),
    "a check that is none": (
        changed(("    schema=Orders,\n", "    schema=Orders,\n    checks=[3],\n")),
        "dataset 'orders'",
        ["has the check 3, which is none"],
    ),
    "a check twice": (
        changed(("    schema=Orders,\n", "    schema=Orders,\n    checks=2 * [ms.RowChange()],\n")),
        "dataset 'orders'",
        ["2 times"],
    ),
    "a share of logged units beyond all of them": (
        changed(("    rollout=ms.Canary", "    log_sample=1.5,\n    rollout=ms.Canary")),
        "log_sample",
        ["is 1.5", "between 0 and 1"],
    ),
    "a schedule that is no cron expression": (
        changed(('ms.OnSchedule("0 3 1 * *")', 'ms.OnSchedule("monthly")')),
        "trigger OnSchedule('monthly')",
        ["no cron expression"],
    ),
    "a trigger in a combination that waits for what is not read": (
        changed(("ms.OnDrift()", 'ms.AllOf((ms.OnDrift(), ms.OnNewData(dataset="order")))')),
        "trigger OnNewData(dataset='order')",
        ["which the product does not read", "It reads: orders"],
    ),
    "quiet hours that never end": (
        changed(('cool_down="3d"', 'cool_down="3d", quiet_hours=[ms.QuietHours("00:00", "00:00")]')),
        "quiet_hours",
        ["leave no moment"],
    ),
    "a split by what is no input": (
        changed(("minimum_units=20)", 'minimum_units=20, split_by="order_id")')),
        "rollout split_by 'order_id'",
        ["is no input"],
    ),
    "a guard with slices that are no input": (
        changed(
            (
                "minimum_units=20)",
                'minimum_units=20, guards=(ms.NoMoreErrors(slices=("order_id",)),))',
            )
        ),
        "guard NoMoreErrors slices 'order_id'",
        ["is no input"],
    ),
    "a guard with slices by numbers": (
        changed(("minimum_units=20)", 'minimum_units=20, guards=(ms.NotSlower(slices=("amount",)),))')),
        "guard NotSlower slices 'amount'",
        ["is no text"],
    ),
    "a view of columns that are known at different moments": (
        changed(
            (
                "    settled_at: Moment",
                '    paid: float = pa.Field(metadata=ms.known_at("asked_at"))\n    settled_at: Moment',
            ),
            ("features=[ms.Mean(", 'features=["late", ms.Mean('),
            text=with_view(column="paid"),
        ),
        "feature view 'by-kind'",
        ["'paid'", "only known at 'asked_at'", "or the known_at of its source, to 'asked_at'"],
    ),
    "a view of a column that is not there": (
        with_view(column="tardy"),
        "feature view 'by-kind'",
        ["'tardy' is no column of its source 'orders'", "late"],
    ),
    "a feature with the name of a column": (
        changed(('"kind", "amount"]', '"kind"]'), text=with_view(column="amount", name="amount")),
        "input 'amount'",
        ["given by two tables"],
    ),
    "a hold-out that is no duration": (
        changed(('holdout="5d"', 'holdout="five days"')),
        "holdout",
        ["'five days' is not a duration", "'45d'"],
    ),
    "a cool-down that is no duration": (changed(('cool_down="3d"', "cool_down=3")), "cool_down", ["'3'", "'45d'"]),
    "a value of another type": (
        changed(('cool_down="3d",', 'cool_down="3d",\n    seed="lucky",')),
        "seed",
        ["expected `int`, got `str`"],
    ),
    "a name that could be no ref": (
        changed(('    "tiny",', '    "Tiny Orders",')),
        "name",
        ["'Tiny Orders'", "lower-case"],
    ),
    "a column of an unknown type": (
        changed(("hour: int = pa.Field(ge=0, le=23)", "hour: pl.Duration")),
        "column 'hour'",
        ["Duration", "Use str"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_declaration_at_fault_says_where_and_why_and_what_would_do(fault: str, tmp_path: Path) -> None:
    text, where, said = FAULTS[fault]
    with pytest.raises(Faults) as refused:
        describe(tmp_path, text)
    (told,) = refused.value.faults
    assert told.where == where
    assert all(words in str(told) for words in said), str(told)
    assert "orders" in refused.value.subject or "product.py" in refused.value.subject


def test_a_view_whose_event_time_is_when_its_column_was_known_is_no_fault(tmp_path: Path) -> None:
    assert [view.name for view in describe(tmp_path, with_view()).features] == ["by-kind"]


def test_what_a_column_says_of_when_it_is_known_goes_before_what_its_row_says(tmp_path: Path) -> None:
    paid = '    paid: float = pa.Field(metadata=ms.known_at("asked_at"))\n    settled_at: Moment'
    text = changed(("    settled_at: Moment", paid), text=with_view(time="asked_at", column="paid"))
    (view,) = describe(tmp_path, text).features
    assert (view.event_time, view.known_at) == ("asked_at", None)


def test_a_view_of_what_is_known_later_joins_by_when_it_was_known(tmp_path: Path) -> None:
    (view,) = describe(tmp_path, with_view(time="asked_at")).features
    assert (view.event_time, view.known_at) == ("asked_at", "settled_at")
    with_hindsight = changed(('ttl="', 'hindsight=True, ttl="'), text=with_view(time="asked_at"))
    (view,) = describe(tmp_path, with_hindsight).features
    assert view.known_at is None


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = changed(
        ('inputs=["amount"', 'inputs=["amuont", "late"'),
        ('label="late"', 'label="letter"'),
        (GATES, "    gates=[],\n"),
        ('ms.OnSchedule("0 3 1 * *")', 'ms.OnSchedule("monthly")'),
        ('holdout="5d"', 'holdout="soon"'),
    )
    with pytest.raises(Faults) as refused:
        describe(tmp_path, text)
    where = {fault.where for fault in refused.value.faults}
    assert where == {
        "input 'amuont'",
        "input 'late'",
        "label",
        "gates",
        "trigger OnSchedule('monthly')",
        "holdout",
    }
    assert "has 6 faults" in str(refused.value)


# --- several files -------------------------------------------------------------------------------------------------


def test_two_products_of_one_name_and_two_datasets_of_one_name_are_told(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(TINY)
    (tmp_path / "c.py").write_text(changed(('    "tiny",', '    "third",'), ('"orders",', '"other-orders",')))
    loaded = load_all(tuple(tmp_path / name for name in ("a.py", "b.py", "c.py")), tmp_path)
    assert [spec.name for _, spec in loaded.products] == ["third"]
    assert [*loaded.refused] == ["a.py", "b.py"]
    for refused in loaded.refused.values():
        assert isinstance(refused, Faults)
        assert [fault.where for fault in refused.faults] == ["product 'tiny'", "dataset 'orders'"]
        assert "is declared 2 times" in str(refused)


def test_faults_of_several_products_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        changed(('    "tiny",', '    "first",'), ('label="late"', 'label="letter"'))
    )
    (tmp_path / "b.py").write_text(
        changed(
            ('    "tiny",', '    "second",'),
            ('label="late"', 'label="latte"'),
            ('"orders",', '"other-orders",'),
        )
    )
    loaded = load_all((tmp_path / "a.py", tmp_path / "b.py"), tmp_path)
    message = "\n".join(map(str, loaded.refused.values()))
    assert all(words in message for words in ("'first' in a.py", "'letter'", "'second' in b.py", "'latte'"))


def test_a_file_at_fault_leaves_what_was_declared_before_in_force(tmp_path: Path) -> None:
    with begin(tmp_path) as workspace:
        with workspace.database.read() as tx:
            declared = workspace.specs(tx)
        before = head(workspace)
        (tmp_path / "product.py").write_text(changed((GATES, "    gates=[],\n")))
        with pytest.raises(DeclarationInvalid, match="every candidate would be promoted"):
            declare(workspace, actor="test")
        with workspace.database.read() as tx:
            assert workspace.specs(tx) == declared
        assert head(workspace) == before
        (tmp_path / "product.py").write_text(changed(('cool_down="3d"', 'cool_down="4d"')))
        (spec,) = declare(workspace, actor="test")
        assert spec.cool_down == "4d"
        assert head(workspace)[0] == before[0] + 1
        assert declare(workspace, actor="test") == (spec,)
        assert head(workspace)[0] == before[0] + 1


def test_a_file_of_a_package_beside_the_product_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    package = tmp_path / "shares"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "limits.py").write_text("DAYS = 60\n")
    with begin(tmp_path) as workspace:
        with_limit = (
            (FUTURE, FUTURE + "from shares.limits import DAYS\n"),
            ("days: int = 60", "days: int = DAYS"),
        )
        (tmp_path / "product.py").write_text(changed(*with_limit))
        (spec,) = declare(workspace, actor="test")
        assert spec.steps[0].params == {"days": 60}
        (package / "limits.py").write_text("DAYS = 600\n")
        (spec,) = declare(workspace, actor="test")
        assert spec.steps[0].params == {"days": 600}


# --- the code of a step --------------------------------------------------------------------------------------------

STEPS = '''
"""Steps."""
import re
from datetime import timedelta
from functools import cache, wraps
import shared_counts
from shared_rates import rate

LIMIT = 3
WEIGHTS = {"a": 1.0, "b": [1, 2]}
KINDS = frozenset({"x", "y", "z"})
WINDOW = timedelta(days=3)
PATTERN = re.compile("a+")
UNUSED = 1

class Coder:
    base = 7
    def code(self, value):
        return by_class(value)

class Settings:
    def __init__(self, depth):
        self.depth = depth

SETTINGS = Settings(3)

def loud(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        return announced(function(*args, **kwargs))
    return wrapper

def announced(value):
    return value  # loud

def by_class(value):
    return value  # by class

def helper(value, scale=WEIGHTS["a"]):
    return value * scale

def made(factor):
    def inner(value):
        return value * factor
    return inner

TRIPLE = made(3)

@cache
def remembered(value):
    return value  # cached

def elsewhere():
    return 0

def uses_nothing(rows): return rows
def uses_helper(rows): return helper(rows)
def uses_constant(rows): return rows[:LIMIT]
def uses_dict(rows): return rows, WEIGHTS
def uses_set(rows): return rows, KINDS
def uses_moment(rows): return rows, WINDOW, PATTERN
def uses_class(rows): return Coder().code(rows)
def uses_module(rows): return shared_counts.count(rows)
def uses_imported(rows): return rate(rows)
def uses_nested(rows):
    def inner(row):
        return [helper(each) for each in row]
    return inner(rows)
def uses_closure(rows): return TRIPLE(rows)
def uses_cached(rows): return remembered(rows)
def uses_object(rows): return rows, SETTINGS.depth
def uses_local_import(rows):
    from shared_counts import count
    return count(rows)
@loud
def uses_decorator(rows): return rows
'''
COUNTS = "from shared_deep import depth\n\ndef count(rows):\n    return len(rows) + depth()\n"
RATES = "UNIT = 2\n\ndef rate(rows):\n    return len(rows) / UNIT\n\ndef other():\n    return 0\n"
DEEP = "def depth():\n    return 1\n"
FILES = {"steps.py": STEPS, "shared_counts.py": COUNTS, "shared_rates.py": RATES, "shared_deep.py": DEEP}
USES = [
    line.split("(")[0].removeprefix("def ") for line in STEPS.splitlines() if line.startswith("def uses_")
]


def codes(folder: Path, **files: str) -> dict[str, str]:
    """The code of every step of a product with these files; each call imports them anew."""
    folder.mkdir()
    for name, text in (FILES | {f"{name}.py": text for name, text in files.items()}).items():
        (folder / name).write_text(text)
        sys.modules.pop(name.removesuffix(".py"), None)
    sys.path.insert(0, str(folder))
    try:
        module = __import__("steps")
        return {name: step_code(getattr(module, name), folder) for name in USES}
    finally:
        sys.path.remove(str(folder))


EDITS: dict[str, tuple[str, str, str, set[str]]] = {
    "the function": (
        "steps",
        "uses_nothing(rows): return rows",
        "uses_nothing(rows): return 0",
        {"uses_nothing"},
    ),
    "a helper": ("steps", "return value * scale", "return scale * value", {"uses_helper", "uses_nested"}),
    "a helper's default": ("steps", '{"a": 1.0', '{"a": 2.0', {"uses_helper", "uses_nested", "uses_dict"}),
    "a constant": ("steps", "LIMIT = 3", "LIMIT = 4", {"uses_constant"}),
    "deep in a constant": ("steps", '"b": [1, 2]', '"b": [1, 3]', {"uses_dict"}),
    "a set": ("steps", '"x", "y", "z"', '"x", "y", "w"', {"uses_set"}),
    "a duration": ("steps", "timedelta(days=3)", "timedelta(days=4)", {"uses_moment"}),
    "a pattern": ("steps", 're.compile("a+")', 're.compile("b+")', {"uses_moment"}),
    "a class": ("steps", "base = 7", "base = 8", {"uses_class"}),
    "what a class uses": ("steps", "return value  # by class", "return -value  # by class", {"uses_class"}),
    "what a closure holds": ("steps", "TRIPLE = made(3)", "TRIPLE = made(4)", {"uses_closure"}),
    "a cached function": ("steps", "return value  # cached", "return -value  # cached", {"uses_cached"}),
    "what a decorator uses": ("steps", "return value  # loud", "return -value  # loud", {"uses_decorator"}),
    "an object": ("steps", "SETTINGS = Settings(3)", "SETTINGS = Settings(4)", set()),
    "elsewhere in the file": ("steps", "return 0", "return 1", set()),
    "a constant that no step uses": ("steps", "UNUSED = 1", "UNUSED = 22", set()),
    "an imported function": ("shared_rates", "len(rows) / UNIT", "len(rows) / -UNIT", {"uses_imported"}),
    "what an imported function uses": ("shared_rates", "UNIT = 2", "UNIT = 3", {"uses_imported"}),
    "beside an imported function": ("shared_rates", "return 0", "return 1", set()),
    "a module": ("shared_counts", "len(rows) +", "len(rows) -", {"uses_module", "uses_local_import"}),
    "a module of a module": ("shared_deep", "return 1", "return 2", {"uses_module", "uses_local_import"}),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return codes(tmp_path_factory.mktemp("steps") / "before")


@pytest.mark.parametrize("edit", EDITS)
def test_a_steps_code_changes_with_what_it_uses_and_with_nothing_else(
    edit: str, before: dict[str, str], tmp_path: Path
) -> None:
    file, old, new, expected = EDITS[edit]
    after = codes(tmp_path / "after", **{file: changed((old, new), text=FILES[f"{file}.py"])})
    # What an object holds cannot be told, so a step that uses one changes with every file of the product.
    assert {name for name in USES if before[name] != after[name]} == expected | {"uses_object"}


def test_a_steps_code_does_not_depend_on_the_folder(before: dict[str, str], tmp_path: Path) -> None:
    assert codes(tmp_path / "elsewhere") == before


# --- views that are looked up online -----------------------------------------------------------------------------

ONLINE = (
    "\n\n@ms.step\ndef recent",
    """

class Customers(pa.DataFrameModel):
    row_id: int
    kind: int
    at: Moment
    spent: float


customers = ms.Dataset("customers", key="row_id", event_time="at", schema=Customers)
spending = ms.FeatureView(
    "spending", source=customers, entity="kind", event_time="at", ttl="3h", online=True,
    features=["spent", ms.Mean("spent", over="3h", name="spent_3h")],
)


@ms.step
def recent""",
)


def test_a_view_that_cannot_be_looked_up_is_refused_with_its_reasons(tmp_path: Path) -> None:
    with pytest.raises(Faults) as refused:
        describe(
            tmp_path, changed(ONLINE, ("    data=orders,\n", "    data=orders,\n    features=[spending],\n"))
        )
    told = str(refused.value)
    assert "is online, and its feature 'spent_3h' is a mean over 3h" in told
    assert "its entity 'kind' is INT64 in its source, and 'kind' is BYTES in dataset 'orders'" in told
