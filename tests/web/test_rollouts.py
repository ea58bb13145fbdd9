"""A rollout's page and its report in a file: the same figures, readable without pictures, and harmless."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tests.web.conftest import Get

from mainspring.operate.report import RolloutReport, rollout_report
from mainspring.rollouts.certificate import Certificate, LossTerm, Terms, certify
from mainspring.web.comparison_chart import Curve, IntervalRow, curve_chart, interval_chart
from mainspring.web.rollouts import report_html, shown_of
from mainspring.workspace import Workspace


def row(low: float, high: float, *, good: int = -1, label: str = "log loss") -> IntervalRow:
    return IntervalRow(label=label, estimate=(low + high) / 2, low=low, high=high, good=good)


def certificate() -> Certificate:
    from tests.rollouts.test_certificate import pairs_of

    terms = Terms(losses=(LossTerm(metric="log_loss"),), slices={"kind": ("book",)})
    return certify("tiny", 1, 2, pairs_of(300), terms)


def test_a_page_shows_the_rollout_and_links_from_the_product(
    workspace: Workspace, get: Callable[[Workspace], Get]
) -> None:
    assert '/products/tiny/rollouts/2"' in get(workspace)("/products/tiny").text
    page = get(workspace)("/products/tiny/rollouts/2")
    assert page.status_code == 200
    report = rollout_report(workspace, "tiny", "2")
    for sentence in report.sentences:
        assert sentence.split("<")[0][:40] in page.text.replace("&#39;", "'")
    assert "<style" not in page.text
    assert "style=" not in page.text
    assert get(workspace)("/products/tiny/rollouts/77").status_code == 404


def test_hostile_words_stay_words(workspace: Workspace) -> None:
    page = report_html(rollout_report(workspace, "tiny"))
    assert "<script" not in page
    assert "<img" not in page


def test_a_report_with_a_certificate_shows_it(workspace: Workspace) -> None:
    import msgspec

    found = certificate()
    report: RolloutReport = msgspec.structs.replace(
        rollout_report(workspace, "tiny"), certificate=found.to_dict()
    )
    page = report_html(report)
    assert "Shadow certificate" in page
    assert found.largest[0].example in page
    assert "kind=other" in page


def test_every_picture_has_a_text_and_every_chart_two_widths(workspace: Workspace) -> None:
    page = report_html(rollout_report(workspace, "tiny"))
    for picture in re.findall(r"<svg[^>]*>", page):
        assert re.search(r'role="img" aria-label="[^"]+"', picture), picture
    assert all(len(pair) == 2 for pair in shown_of(rollout_report(workspace, "tiny"))["charts"].values())


@pytest.mark.parametrize(
    ("interval", "good", "word"),
    [
        ((-0.03, -0.01), -1, "better"),
        ((0.01, 0.03), -1, "worse"),
        ((0.01, 0.03), 1, "better"),
        ((-0.01, 0.03), 1, "no difference shown"),
        ((0.0, 0.0), 1, "no difference shown"),
    ],
)
def test_a_difference_says_in_a_word_what_its_colour_says(
    interval: tuple[float, float], good: int, word: str
) -> None:
    shown = row(*interval, good=good)
    assert shown.word == word
    assert word in interval_chart([shown], title="Differences")


def test_an_interval_is_drawn_to_scale_beside_zero() -> None:
    drawn = interval_chart([row(-0.03, -0.01), row(0.01, 0.02, label="a<b")], title="Differences")
    assert "a&lt;b" in drawn
    [first, second] = re.findall(r'class="line t\d" d="M([\d.]+) [\d.]+H([\d.]+)"', drawn)
    zero = float(re.findall(r'class="ink" d="M([\d.]+) 4V', drawn)[0])
    assert float(first[0]) < float(first[1]) < zero < float(second[0]) < float(second[1])
    assert float(first[1]) - float(first[0]) == pytest.approx(
        2 * (float(second[1]) - float(second[0])), abs=0.5
    )


def test_nothing_to_draw_is_no_picture() -> None:
    assert interval_chart([], title="x") == ""
    assert curve_chart([], title="x", axis="y") == ""
    assert curve_chart([Curve(name="v1", points=[], tone=0)], title="x", axis="y") == ""


@pytest.mark.parametrize("logarithmic", [True, False])
def test_curves_stay_within_the_picture(logarithmic: bool) -> None:
    points = [(0.5, 0.1), (4.0, 0.6), (300.0, 1.0)]
    drawn = curve_chart(
        [Curve(name="v1", points=points, tone=0)], title="x", axis="ms", logarithmic=logarithmic, width=400
    )
    places = [float(each) for each in re.findall(r"H([\d.]+)", drawn)]
    assert all(0 <= each <= 400 for each in places)
    assert "ms" in drawn
