"""The declaration's values: the same again after a trip through JSON, and refused when they could not be kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainspring as ms
from mainspring.errors import Invalid, MainspringError
from mainspring.product import ColumnSpec, DatasetSpec, FeatureViewSpec, ProductSpec, StepSpec
from mainspring.product import Mean as MeanFeature
from mainspring.triggers import Trigger

names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)
shares = st.floats(0, 1, exclude_min=True)
alphas = st.floats(0, 1, exclude_min=True, exclude_max=True)
margins = st.floats(0, 10)
tolerances = st.floats(0, 1, exclude_max=True)
durations = st.builds("{}{}".format, st.integers(0, 999), st.sampled_from("smhdw"))
metrics = st.sampled_from(["log_loss", "brier", "roc_auc"])
columns = st.builds(
    ColumnSpec,
    names,
    st.sampled_from(["BYTES", "BOOL", "FP64", "INT64", "TIMESTAMP"]),
    st.booleans(),
    st.none() | names,
)
datasets = st.builds(
    DatasetSpec, names, st.lists(names, min_size=1, max_size=2).map(tuple), names, st.none() | names, shares,
    st.lists(columns, max_size=4).map(tuple),
)  # fmt: skip
gates = st.one_of(
    st.builds(
        ms.AtLeast, metrics, st.floats(-10, 10), st.lists(names, max_size=2).map(tuple), st.integers(0, 500)
    ),
    st.builds(ms.NotWorseThan, st.just("champion"), metrics, margins),
    st.builds(ms.Servable, st.floats(0.001, 1e4)),
)
guards = st.one_of(
    st.builds(ms.NoMoreErrors, alphas),
    st.builds(ms.NotSlower, alphas),
    st.builds(ms.NotWorse, metrics, margins, alphas),
)
monitors = st.one_of(
    st.builds(ms.InputDrift, tolerances, st.lists(names, max_size=2).map(tuple)),
    st.builds(ms.PredictionDrift, tolerances),
    st.builds(ms.Quality, metrics, tolerances),
    st.builds(ms.Staleness, durations),
)
lone_triggers: st.SearchStrategy[Trigger] = st.one_of(
    st.just(ms.OnDemand()),
    st.builds(ms.OnSchedule, st.just("0 3 1 * *"), names, st.none() | durations, st.none() | durations),
    st.builds(
        ms.OnNewData, st.integers(1, 10**9), st.integers(0, 9), st.none() | durations, st.none() | names
    ),
    st.builds(ms.OnDegradation, st.none() | durations),
    st.builds(ms.OnDrift, st.booleans(), st.none() | durations),
)
triggers = st.recursive(
    lone_triggers,
    lambda within: st.one_of(
        st.builds(ms.AnyOf, st.lists(within, min_size=1, max_size=2).map(tuple)),
        st.builds(ms.AllOf, st.lists(within, min_size=1, max_size=2).map(tuple), st.none() | durations),
    ),
    max_leaves=3,
)
canaries = st.builds(
    ms.Canary,
    steps=st.lists(st.floats(0.01, 0.99), unique=True, max_size=3).map(lambda shares: (*sorted(shares), 1.0)),
    bake=durations,
    minimum_units=st.integers(0, 1000),
    horizon=durations,
    split_by=st.none() | names,
    guards=st.lists(guards, max_size=3).map(tuple),
)
params = st.dictionaries(
    names,
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text("xyé", max_size=3)
    | st.floats(-1, 1),
)
specs = st.builds(
    ProductSpec,
    name=names,
    file=st.just("product.py"),
    task=st.builds(ms.BinaryClassification, names, st.booleans() | st.integers(-5, 5) | names),
    data=datasets,
    sources=st.lists(datasets, max_size=2).map(tuple),
    inputs=st.lists(columns, max_size=4).map(tuple),
    steps=st.lists(st.builds(StepSpec, names, names, params), max_size=3).map(tuple),
    gates=st.lists(gates, max_size=3).map(tuple),
    features=st.lists(
        st.builds(
            FeatureViewSpec, names, names, names, names, durations,
            st.lists(names | st.builds(MeanFeature, names, durations, names), max_size=3).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    rollout=canaries,
    monitors=st.lists(monitors, max_size=3).map(tuple),
    retrain=st.lists(triggers, max_size=3).map(tuple),
    alarm_budget=st.builds(ms.FalseAlarms, durations, st.floats(0.01, 100)),
    holdout=durations,
    cool_down=durations,
    seed=st.integers(0, 2**32),
    quiet_hours=st.lists(st.builds(ms.QuietHours, names, names, names), max_size=2).map(tuple),
    cycle_budget=st.none() | st.builds(ms.CycleBudget, st.integers(1, 99), durations),
)  # fmt: skip


@given(spec=specs)
def test_a_declaration_is_the_same_after_a_trip_through_json(spec: ProductSpec) -> None:
    again = ProductSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.digest == spec.digest


def test_a_declaration_of_before_triggers_had_limits_is_still_read() -> None:
    text = '[{"type":"OnSchedule","cron":"0 3 1 * *"},{"type":"OnNewData","rows":9},{"type":"OnDrift","alone":true}]'
    read = msgspec.json.decode(text, type=tuple[Trigger, ...])
    assert read == (ms.OnSchedule("0 3 1 * *"), ms.OnNewData(rows=9), ms.OnDrift(alone=True))


@given(trigger=triggers)
def test_a_trigger_prints_as_it_would_be_written(trigger: Trigger) -> None:
    read = msgspec.json.decode(msgspec.json.encode(trigger), type=Trigger)  # type: ignore[arg-type]
    for each in (trigger, read):
        assert eval(repr(each), dict(vars(ms))) == trigger


def test_what_is_left_at_its_default_is_not_printed() -> None:
    trigger = ms.AllOf((ms.OnSchedule("0 3 * * *"), ms.OnNewData(days=1)))
    assert repr(trigger) == "AllOf((OnSchedule('0 3 * * *'), OnNewData(days=1)))"


@given(spec=specs, key=names)
def test_a_declaration_with_an_unknown_field_is_not_read(spec: ProductSpec, key: str) -> None:
    fields = msgspec.json.decode(spec.to_json())
    if key not in fields:
        with pytest.raises(msgspec.ValidationError):
            ProductSpec.from_json(msgspec.json.encode({**fields, key: 1}))


not_alphas = [0.0, 1.0, -0.1, 1.5, math.nan, math.inf]
not_margins = [-0.001, math.nan, math.inf, -math.inf]
not_tolerances = [-0.01, 1.0, 2.0, math.nan, math.inf]
REFUSED: list[tuple[Callable[[Any], object], list[Any]]] = [
    (ms.NoMoreErrors, not_alphas),
    (ms.NotSlower, not_alphas),
    (lambda alpha: ms.NotWorse("log_loss", alpha=alpha), not_alphas),
    (lambda margin: ms.NotWorse("log_loss", margin), not_margins),
    (lambda margin: ms.NotWorseThan("champion", "log_loss", margin), not_margins),
    (lambda floor: ms.AtLeast("roc_auc", floor), [math.nan, math.inf, -math.inf]),
    (lambda rows: ms.AtLeast("roc_auc", 0.5, ("kind",), rows), [-1]),
    (ms.Servable, [0, -1, math.nan, math.inf]),
    (ms.InputDrift, not_tolerances),
    (ms.PredictionDrift, not_tolerances),
    (lambda tolerance: ms.Quality("log_loss", tolerance), not_tolerances),
    (ms.OnNewData, [0, -1]),
    (lambda days: ms.OnNewData(days=days), [-1]),
    (ms.CycleBudget, [0, -1]),
    (lambda many: ms.FalseAlarms(at_most=many), [0, -1, math.nan, math.inf]),
    (lambda share: ms.Canary(steps=(share, 1.0)), [0.0, -0.5, 1.5, math.nan]),
    (lambda steps: ms.Canary(steps=steps), [(), (0.5,), (0.5, 0.2, 1.0), (0.5, 0.5, 1.0), (1.0, 0.5)]),
    (lambda units: ms.Canary(minimum_units=units), [-1]),
    (
        lambda share: ms.Dataset("d", key="k", event_time="t", schema=None, quarantine=share),
        [-0.1, 1.1, math.nan],
    ),
]


@pytest.mark.parametrize(("make", "value"), [(make, value) for make, values in REFUSED for value in values])
def test_a_value_that_could_not_be_kept_is_refused_with_the_value(
    make: Callable[[Any], object], value: Any
) -> None:
    with pytest.raises(Invalid) as refused:
        make(value)
    assert str(value) in str(refused.value) or "rise and end at 1.0" in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ms.Mean("delay", over="soon", name="delay_3h"),
        lambda: ms.Staleness("a month"),
        lambda: ms.FalseAlarms(per="often"),
        lambda: ms.CycleBudget(3, per="often"),
        lambda: ms.Canary(bake="1 day"),
        lambda: ms.Canary(horizon=""),
        lambda: ms.FeatureView("v", source=None, entity="e", event_time="t", ttl="old", features=[]),  # type: ignore[arg-type]
        lambda: ms.FeatureView("V", source=None, entity="e", event_time="t", ttl="3h", features=[]),  # type: ignore[arg-type]
        lambda: ms.Dataset("Flights", key="k", event_time="t", schema=None),
        lambda: ms.Pipeline([]),
    ],
)
def test_a_malformed_duration_or_name_is_refused_where_it_is_written(make: Callable[[], object]) -> None:
    with pytest.raises(MainspringError):
        make()


def test_a_step_says_how_its_params_must_be_written() -> None:
    def no_input(*, rate: float = 0.1) -> None: ...
    def positional(examples: object, rate: float = 0.1) -> None: ...
    def without_default(examples: object, *, rate: float) -> None: ...
    def unrecordable(examples: object, *, rates: object = (1, 2)) -> None: ...

    for function, said in (
        (no_input, "takes no input"),
        (positional, "def positional(examples, *, rate=...)"),
        (without_default, "keyword-only with a default"),
        (unrecordable, "type tuple"),
    ):
        with pytest.raises(Invalid) as refused:
            ms.step(function)
        assert said in str(refused.value)


def test_a_step_can_be_called_as_the_function_that_it_is() -> None:
    @ms.step
    def double(examples: int, *, times: int = 2) -> int:
        return examples * times

    assert (double(3), double(3, times=3), double.params) == (6, 9, {"times": 2})


def test_two_steps_of_one_name_make_no_pipeline() -> None:
    @ms.step
    def train(examples: object) -> None: ...

    with pytest.raises(Invalid, match="name of its own"):
        ms.Pipeline([train, train])


@pytest.mark.parametrize("online", ["redis", "", 1, None])
def test_a_view_is_looked_up_in_memory_in_the_store_or_not_at_all(online: Any) -> None:
    seen = ms.Dataset("seen", key="k", event_time="at", schema=None)
    view = ms.FeatureView(
        "v", source=seen, entity="k", event_time="at", ttl="1d", features=["x"], online="store"
    )
    assert view.online == "store"
    with pytest.raises(Invalid, match='it is True, False or "store"'):
        replace(view, online=online)
