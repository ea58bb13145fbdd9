"""Charts: valid SVG whatever the values, with everything inside the picture and every text escaped."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mainspring.web.chart import STYLE, TONES, Kind, Mark, Series, day_chart

DAY = date(2013, 1, 1)

days = st.dates(date(1990, 1, 1), date(2050, 1, 1))
values = st.one_of(
    st.none(), st.floats(allow_subnormal=False, min_value=-1e12, max_value=1e12), st.just(math.nan)
)
series = st.builds(
    Series,
    name=st.text(max_size=10),
    days=st.dictionaries(days, values, max_size=12).map(lambda points: sorted(points.items())),
    kind=st.sampled_from(Kind),
    tone=st.one_of(st.none(), st.integers(0, 30)),
    key=st.text(max_size=30),
)
# XML has no way to write these; a browser reads our pages as HTML, where they are dropped.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(UNWRITABLE.sub("", svg))


def places(drawn: ElementTree.Element) -> list[tuple[float, float]]:
    """Every point of every series, followed step by step."""
    found = []
    for path in drawn.iter("path"):
        if path.get("d", "").startswith("M0 0"):
            x = y = 0.0
            for step in re.findall(r"[ml](-?[\d.]+) ?(-?[\d.]+)", path.get("d", "")[4:]):
                x, y = x + float(step[0]), y + float(step[1])
                found.append((x, y))
    return found


@settings(max_examples=50)
@example([Series(name="", days=[(DAY, 1.0), (DAY + timedelta(days=1), math.nextafter(1.0, 2.0))])], [])
@given(
    st.lists(series, max_size=4), st.lists(st.builds(Mark, day=days, label=st.text(max_size=5)), max_size=4)
)
def test_every_chart_is_valid_and_keeps_its_points_inside(drawn: list[Series], marks: list[Mark]) -> None:
    svg = day_chart(drawn, title="any", marks=marks, width=640, height=300)
    known = [value for each in drawn for _, value in each.days if value is not None and math.isfinite(value)]
    assert bool(svg) == bool(known)
    if svg:
        found = places(parsed(svg))
        assert len(found) == len(known)
        assert all(0 <= x <= 640.1 and 0 <= y <= 300.1 for x, y in found)
        assert "nan" not in svg.lower().partition("<title>")[0]


def test_a_text_cannot_leave_its_place() -> None:
    bad = "</title><script>alert(1)</script>\"'&"
    points = [(DAY, 1.0), (DAY + timedelta(days=1), 2.0)]
    svg = day_chart(
        [Series(name=bad, days=points, key=bad)], title=bad, marks=[Mark(day=DAY, label=bad, title=bad)]
    )
    assert "<script" not in svg
    drawn = parsed(svg)
    assert drawn.get("aria-label") == bad
    assert bad in [text.text for text in drawn.iter("text")]


def test_ticks_are_round_and_hold_every_value() -> None:
    points = [(DAY + timedelta(days=n), 0.37 + n / 1000) for n in range(150)]
    drawn = parsed(day_chart([Series(name="loss", days=points)], title="Loss"))
    texts = [text.text or "" for text in drawn.iter("text")]
    assert texts[:4] == ["0.35", "0.40", "0.45", "0.50"]
    assert texts[5:] == ["Jan", "Feb", "Mar", "Apr", "May"]


def test_a_day_that_is_not_known_is_a_gap() -> None:
    points = [(DAY + timedelta(days=n), None if n == 5 else 1.0 * n) for n in range(10)]
    svg = day_chart([Series(name="loss", days=points)], title="Loss", tooltips=False)
    (line,) = re.findall(r'class="line ink" d="M0 0([^"]+)"', svg)
    assert line.count("m") == 2
    assert line.count("l") == 7


def test_one_point_is_a_chart() -> None:
    parsed(day_chart([Series(name="loss", days=[(DAY, 0.5)], kind=Kind.DOTS)], title="Loss"))


def test_labels_of_marks_do_not_lie_over_one_another() -> None:
    points = [(DAY + timedelta(days=n), 1.0 * n) for n in range(300)]
    marks = [Mark(day=DAY + timedelta(days=n), label="v10") for n in range(0, 300, 2)]
    drawn = parsed(day_chart([Series(name="", days=points)], title="Loss", marks=marks, tooltips=False))
    shown = sorted(float(text.get("x", "")) for text in drawn.iter("text") if text.text == "v10")
    assert len(shown) > 10
    assert min(then - x for x, then in pairwise(shown)) > 15


def test_series_of_one_key_share_an_entry_of_the_legend() -> None:
    points = [(DAY, 1.0), (DAY + timedelta(days=1), 2.0)]
    drawn = [Series(name=f"v{n}", days=points, key="by version", tone=n) for n in range(5)]
    texts = [text.text for text in parsed(day_chart(drawn, title="Loss")).iter("text")]
    assert texts.count("by version") == 1


def test_the_style_has_every_tone_in_both_schemes() -> None:
    for tone in range(TONES):
        assert STYLE.count(f"--t{tone}: #") == 2
        assert f".t{tone} {{" in STYLE
