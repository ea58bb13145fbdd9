"""A shadow goes on when enough was seen and no harm is shown; what is missing never certifies."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainspring.errors import Invalid
from mainspring.rollouts.certificate import Certificate, LossTerm, Pair, Terms, Verdict, certify

TERMS = Terms(minimum_units=50, losses=(LossTerm(metric="log_loss", margin=0.005),))
BRIER = Terms(minimum_units=50, losses=(LossTerm(metric="brier", margin=0.005),))


def pairs_of(
    units: int,
    *,
    seed: int = 1,
    worse: float = 0.0,
    worse_on: str | None = None,
    failing: float = 0.0,
    labelled: bool = True,
) -> list[Pair]:
    """Two versions with answers around the same truth; a worse shadow is less sure of it by `worse`."""
    random = np.random.default_rng(seed)
    made = []
    for unit in range(units):
        truth, kind = random.beta(1, 3), ("book", "shoes")[unit % 2]
        champion, shadow = (float(np.clip(truth + random.normal(0, 0.02), 0.01, 0.99)) for _ in range(2))
        if worse_on in (None, kind):
            shadow += worse * (0.5 - shadow)
        made.append(
            Pair(
                example=f"p{unit}",
                unit=f"u{unit}",
                champion=champion,
                shadow=None if random.random() < failing else shadow,
                values={"kind": kind},
                outcome=int(random.random() < truth) if labelled else None,
            )
        )
    return made


def certificate(pairs: Sequence[Pair], terms: Terms = TERMS, **more: int) -> Certificate:
    return certify("tiny", 1, 2, pairs, terms, **more)


@pytest.mark.parametrize("terms", [TERMS, BRIER])
def test_a_shadow_that_answers_as_well_is_certified(terms: Terms) -> None:
    found = certificate(pairs_of(2_000), terms)
    assert found.verdict is Verdict.CERTIFIED
    assert found.overall.units == 2_000
    assert any("no harm" in reason for reason in found.reasons)


@pytest.mark.parametrize("terms", [TERMS, BRIER])
def test_a_worse_shadow_is_refused_with_the_difference(terms: Terms) -> None:
    found = certificate(pairs_of(2_000, worse=0.5), terms)
    assert found.verdict is Verdict.REFUSED
    [loss] = found.overall.losses
    assert loss.gap is not None
    assert loss.gap.low > 0.005
    assert terms.losses[0].metric in found.reasons[0]


def test_harm_on_one_slice_is_enough() -> None:
    terms = replace(TERMS, slices={"kind": ("book", "shoes")})
    found = certificate(pairs_of(3_000, worse=0.5, worse_on="shoes"), terms)
    assert found.verdict is Verdict.REFUSED
    assert any("kind=shoes" in reason for reason in found.reasons)
    assert not any("kind=book" in reason for reason in found.reasons)


def test_values_that_are_no_slice_of_their_own_are_one() -> None:
    terms = replace(TERMS, slices={"kind": ("book",)})
    assert [each.name for each in certificate(pairs_of(400), terms).slices] == ["kind=book", "kind=other"]


def test_a_shadow_that_fails_more_than_the_champion_is_refused() -> None:
    assert certificate(pairs_of(500, failing=0.05)).verdict is Verdict.REFUSED
    assert certificate(pairs_of(500, failing=0.05), champion_failed=25).verdict is Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("pairs", "terms"),
    [
        ([], TERMS),
        ([], Terms(minimum_units=0, failures=None)),
        (pairs_of(49), replace(TERMS, losses=())),
        (pairs_of(2_000, labelled=False), TERMS),
        (pairs_of(2_000, labelled=False) + pairs_of(60), TERMS),
        (pairs_of(300, failing=1.0), replace(TERMS, failures=None)),
    ],
)
def test_too_little_is_never_certified(pairs: list[Pair], terms: Terms) -> None:
    found = certificate(pairs, terms)
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert found.reasons


def test_what_must_be_shown_is_waited_for() -> None:
    terms = Terms(minimum_units=50, losses=(LossTerm(metric="log_loss", within=0.01),))
    assert certificate(pairs_of(110), terms).verdict is Verdict.INSUFFICIENT_DATA
    assert certificate(pairs_of(4_000), terms).verdict is Verdict.CERTIFIED


def test_answers_that_must_not_differ_and_do_are_refused() -> None:
    moved = [replace(pair, shadow=(pair.shadow or 0) + 0.01) for pair in pairs_of(4_000)]
    terms = Terms(same_outputs=0.05)
    assert certificate(pairs_of(4_000), terms).verdict is Verdict.CERTIFIED
    assert (
        certificate([replace(p, shadow=min(p.shadow or 0, 1.0)) for p in moved], terms).verdict
        is Verdict.REFUSED
    )


def test_a_unit_counts_once_however_often_it_asks() -> None:
    once = pairs_of(200)
    often = [replace(pair, example=f"{pair.example}/{n}") for pair in once for n in range(5)]
    assert certificate(often).overall == certificate(once).overall
    assert certificate(often).rows == 1_000


def test_an_answer_that_is_no_number_is_a_failure() -> None:
    pairs = [replace(pair, shadow=math.nan) for pair in pairs_of(100)]
    found = certificate(pairs)
    assert (found.overall.units, found.overall.failed) == (0, 100)
    assert found.verdict is Verdict.REFUSED


def test_the_largest_differences_are_told_with_their_ids() -> None:
    pairs = pairs_of(100)
    pairs[42] = replace(pairs[42], champion=0.01, shadow=0.99)
    pairs[7] = replace(pairs[7], champion=0.9, shadow=0.2)
    assert [each.example for each in certificate(pairs).largest[:2]] == ["p42", "p7"]
    assert len(certificate(pairs).largest) == 10


def test_a_share_of_decisions_that_differ_is_told() -> None:
    pairs = [
        replace(p, champion=0.4, shadow=0.6 if n % 10 == 0 else 0.4) for n, p in enumerate(pairs_of(1_000))
    ]
    shown = certificate(pairs).overall.disagreement
    assert shown is not None
    assert shown.estimate == pytest.approx(0.1)
    assert shown.low < 0.1 < shown.high


def test_a_certificate_survives_json() -> None:
    found = certificate(pairs_of(300), replace(TERMS, slices={"kind": ("book",)}))
    assert Certificate.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_loss_that_has_no_pairs_is_refused() -> None:
    with pytest.raises(Invalid, match="roc_auc"):
        LossTerm(metric="roc_auc")


@given(st.randoms())
def test_the_order_of_different_units_does_not_matter(random: object) -> None:
    pairs = pairs_of(120)
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert certificate(shuffled, BRIER) == certificate(pairs, BRIER)


@pytest.mark.parametrize("terms", [TERMS, BRIER])
def test_a_shadow_without_harm_is_rarely_refused_however_often_one_looks(terms: Terms) -> None:
    terms = replace(terms, losses=(replace(terms.losses[0], margin=0.0, alpha=0.1),), failures=None)
    runs, refused = 120, 0
    for seed in range(runs):
        pairs = pairs_of(800, seed=seed)
        refused += any(
            certificate(pairs[:n], terms).verdict is Verdict.REFUSED for n in (100, 150, 220, 330, 500, 800)
        )
    assert refused / runs <= 0.1 + 3 * math.sqrt(0.09 / runs)
