"""Line charts over days, as SVG text: plain values in, no script and no library out.

The chart has no colours of its own: `STYLE` is the CSS that gives it them, in a light and a dark scheme. It stands
once in a page, however many charts the page has.
"""

from __future__ import annotations

__all__ = [
    "LETTER",
    "STYLE",
    "TONES",
    "Kind",
    "Mark",
    "Series",
    "day_chart",
    "legend_of",
    "px",
    "round_ticks",
    "tone_class",
]

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from html import escape
from itertools import pairwise

TONES = 8
"""How many colours there are for series; series of higher tones begin again with the first."""

STYLE = """\
.chart { --ink: #22201c; --faint: #6f6a60; --rule: #e4dfd5; --hover: #a0762c22;
  --t0: #4269a5; --t1: #c1663b; --t2: #4e8a57; --t3: #8a5a9e; --t4: #b5871f;
  --t5: #3f8f99; --t6: #b0506f; --t7: #6d7581;
  display: block; width: 100%; height: auto; overflow: visible;
  font: 12px/1 system-ui, -apple-system, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) {
  .chart { --ink: #ece7dc; --faint: #a29b8d; --rule: #37332c; --hover: #e0b45a22;
    --t0: #85a9e0; --t1: #e29068; --t2: #85c08d; --t3: #bf94d2;
    --t4: #dbb252; --t5: #76c3cc; --t6: #e08aa6; --t7: #a3abb6; } }
.chart text { fill: var(--faint); }
.chart .ink { stroke: var(--ink); } .chart text.ink { fill: var(--ink); stroke: none; }
.chart .rule { stroke: var(--rule); } .chart .mark { stroke: var(--faint); stroke-dasharray: 2 3; }
.chart .line, .chart .dashed { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.chart .dashed { stroke-width: 1.5; stroke-dasharray: 5 4; stroke-linecap: butt; }
.chart .point { fill: none; stroke-width: 9; stroke-linecap: round; }
.chart .dots { fill: none; stroke-width: 4.5; stroke-linecap: round; opacity: .55; }
.chart .hover { stroke: transparent; pointer-events: stroke; } .chart .hover :hover { stroke: var(--hover); }
""" + "".join(
    f".chart .t{tone} {{ stroke: var(--t{tone}); }} .chart text.t{tone} {{ fill: var(--t{tone}); stroke: none; }}\n"
    for tone in range(TONES)
)

_LEFT, _RIGHT, _BOTTOM, _LEGEND, _LABELS = 46, 10, 24, 20, 18
LETTER = 6.4
"""The mean width of a letter of 12 pixels."""

_LONGEST_STEP = 31  # days between two points that are still joined: those of two months are


class Kind(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    DASHED = "dashed"
    DOTS = "dots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values by day.

    Attributes
    ----------
    name : str
        Stands in the tooltips; a series without one has none.
    days : sequence of (date, float or None)
        In order. A value that is None or not finite is not drawn, and a line has a gap there.
    kind : Kind
    tone : int, optional
        Which colour; None is that of the text.
    key : str
        What the legend calls it; series with the same key share one entry, and those without one have none.
    """

    name: str
    days: Sequence[tuple[date, float | None]]
    kind: Kind = Kind.LINE
    tone: int | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment that is marked across the chart; `label` is short, `title` says it all."""

    day: date
    label: str
    title: str = ""
    tone: int | None = None


def day_chart(
    series: Sequence[Series],
    *,
    title: str,
    marks: Sequence[Mark] = (),
    width: int = 860,
    height: int = 300,
    tooltips: bool = True,
    number: Callable[[float], str] = "{:.3f}".format,
) -> str:
    """Draw series over days.

    Parameters
    ----------
    series : sequence of Series
        The later are drawn over the earlier.
    title : str
        What the chart shows, for those who do not see it.
    marks : sequence of Mark
    width, height : int
        In pixels, at which the letters have their size; the picture scales to the width that it is given.
    tooltips : bool
        Whether each day tells its values when pointed at.
    number : callable
        Prints a value in the tooltips.

    Returns
    -------
    str
        An `svg` element; an empty text when there is nothing to draw.

    Examples
    --------
    >>> days = [(date(2013, 1, 1), 0.5), (date(2013, 1, 2), 0.4)]
    >>> day_chart([Series(name="loss", days=days)], title="Loss")[:24]
    '<svg class="chart" viewB'
    """
    drawn = [
        (each, [(day, value) for day, value in each.days if value is not None and math.isfinite(value)])
        for each in series
    ]
    known = [point for _, points in drawn for point in points]
    if not known:
        return ""
    legend, rows = legend_of([each for each, points in drawn if points], width)
    first, last = min(day for day, _ in known), max(day for day, _ in known)
    marks = [mark for mark in marks if first <= mark.day <= last]
    frame = _Frame(
        first=first,
        last=last,
        low=min(value for _, value in known),
        high=max(value for _, value in known),
        top=rows * _LEGEND + (_LABELS if marks else 6),
        width=width,
        height=height,
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        legend,
        *_axes(frame),
        *_marks(frame, marks),
        *(_path(frame, each) for each in series),
        *(_tooltips(frame, series, marks, number) if tooltips else ()),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where days and values lie in the picture."""

    first: date
    last: date
    low: float
    high: float
    top: int
    width: int
    height: int

    @property
    def bottom(self) -> int:
        return self.height - _BOTTOM

    @property
    def right(self) -> int:
        return self.width - _RIGHT

    @property
    def ticks(self) -> list[float]:
        return round_ticks(self.low, self.high, most=max(3, (self.bottom - self.top) // 34))

    @property
    def step(self) -> float:
        """The width of a day."""
        return (self.right - _LEFT) / max(1, (self.last - self.first).days)

    def x(self, day: date) -> float:
        if self.first == self.last:
            return (_LEFT + self.right) / 2
        return _LEFT + self.step * (day - self.first).days

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.bottom - (self.bottom - self.top) * (value - low) / (high - low)


def round_ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round values, evenly spaced, the first at most at `low` and the last at least at `high`.

    Examples
    --------
    >>> round_ticks(0.37, 0.52, most=5)
    [0.35, 0.4, 0.45, 0.5, 0.55]
    >>> round_ticks(3, 3, most=5)
    [2.0, 2.5, 3.0, 3.5, 4.0]
    """
    # Values that differ in their last digits alone have no round numbers between them.
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - (abs(low) or 1.0) / 3, high + (abs(high) or 1.0) / 3
    exponent = math.floor(math.log10((high - low) / most))
    for step in (factor * 10.0**exponent for factor in (1, 2, 2.5, 5, 10, 20, 25, 50)):
        begin, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if end - begin + 1 <= most or step == 50 * 10.0**exponent:
            digits = max(0, 2 - math.floor(math.log10(step)))
            return [round(position * step, digits) for position in range(begin, end + 1)]
    raise AssertionError  # the last step is taken, whatever its ticks


def _axes(frame: _Frame) -> Iterator[str]:
    digits = max((len(f"{tick:.10g}".partition(".")[2]) for tick in frame.ticks), default=0)
    lines, labels = [], []
    for tick in frame.ticks:
        y = px(frame.y(tick))
        lines.append(f"M{_LEFT} {y}H{frame.right}")
        labels.append(f'<text x="{_LEFT - 8}" y="{y}" dy=".35em">{tick:,.{digits}f}</text>')
    yield f'<path class="rule" d="{"".join(lines)}"/><g text-anchor="end">{"".join(labels)}</g>'
    labels = [
        f'<text x="{px(frame.x(day))}" y="{frame.height - 6}">{label}</text>'
        for day, label in _day_ticks(frame)
    ]
    yield f'<g text-anchor="middle">{"".join(labels)}</g>'


def _day_ticks(frame: _Frame) -> list[tuple[date, str]]:
    """Days worth a label, as many as have room: days, weeks, months or quarters."""
    every = [frame.first + timedelta(days=n) for n in range((frame.last - frame.first).days + 1)]
    months = [day for day in every if day.day == 1]
    choices: tuple[tuple[list[date], str], ...] = (
        (every, "%-d %b"),
        ([day for day in every if day.weekday() == 0], "%-d %b"),
        (months, "%b" if len({day.year for day in months}) < 2 else "%b %Y"),
        ([day for day in months if day.month % 3 == 1], "%b %Y"),
        ([day for day in months if day.month == 1], "%Y"),
    )
    for days, form in choices:
        shown = [(day, day.strftime(form)) for day in days]
        # A label is cut off neither at the picture's edges nor by its neighbour.
        shown = [(day, label) for day, label in shown if frame.x(day) < frame.width - len(label) * LETTER / 2]
        gaps = (frame.x(then) - frame.x(day) for (day, _), (then, _) in pairwise(shown))
        if shown and min(gaps, default=math.inf) > 8 * LETTER:
            return shown
    return [(frame.first, frame.first.strftime("%-d %b %Y"))]


def _marks(frame: _Frame, marks: Sequence[Mark]) -> Iterator[str]:
    free = 0.0  # where the last label ended: the next one must not lie over it
    for mark in sorted(marks, key=lambda each: each.day):
        x, half = frame.x(mark.day), len(mark.label) * LETTER / 2
        yield f'<path class="mark" d="M{px(x)} {frame.top}V{frame.bottom}"/>'
        if x - half >= free:
            free = x + half + 3
            yield (
                f'<text class="{tone_class(mark.tone)}" text-anchor="middle" x="{px(x)}" y="{frame.top - 6}">'
                f"{escape(mark.label)}</text>"
            )


def _path(frame: _Frame, series: Series) -> str:
    """One path for the whole series, in relative steps, which are the shorter ones to write."""
    steps: list[str] = []
    x = y = 0  # tenths of a pixel, so that rounded steps do not add up to a drift
    before: date | None = None
    for day, value in series.days:
        if value is None or not math.isfinite(value):
            before = None
            continue
        then_x, then_y = round(10 * frame.x(day)), round(10 * frame.y(value))
        place = f"{_tenths(then_x - x)} {_tenths(then_y - y)}".replace(" -", "-")
        if series.kind is Kind.DOTS:
            steps.append(f"m{place}h0")
        else:
            joined = before is not None and (day - before).days <= _LONGEST_STEP
            steps.append(f"{'l' if joined else 'm'}{place}")
        x, y, before = then_x, then_y, day
    return (
        f'<path class="{series.kind} {tone_class(series.tone)}" d="M0 0{"".join(steps)}"/>' if steps else ""
    )


def _tooltips(
    frame: _Frame, series: Sequence[Series], marks: Sequence[Mark], number: Callable[[float], str]
) -> Iterator[str]:
    told: dict[date, list[str]] = {}
    for each in series:
        for day, value in each.days:
            if each.name and value is not None and math.isfinite(value):
                told.setdefault(day, []).append(f"{each.name} {number(value)}")
    for mark in marks:
        told.setdefault(mark.day, []).append(mark.title or mark.label)
    apart = min(((then - day).days for day, then in pairwise(sorted(told))), default=1)
    # Stretched once for all, so that each day is written short.
    stretched = f"translate(0 {frame.top}) scale(1 {frame.bottom - frame.top})"
    yield f'<g class="hover" stroke-width="{px(max(2.0, apart * frame.step))}" transform="{stretched}">'
    for day, lines in sorted(told.items()):
        text = escape("\n".join((day.isoformat(), *lines)))
        yield f'<path d="M{px(frame.x(day))} 0v1"><title>{text}</title></path>'
    yield "</g>"


def legend_of(series: Sequence[Series], width: int) -> tuple[str, int]:
    """Draw the legend, and say over how many rows it goes."""
    entries = {each.key: each for each in reversed(series) if each.key}
    parts, x, row = [], float(_LEFT), 0
    for key, each in reversed(entries.items()):
        room = 24 + len(key) * LETTER + 14
        if x > _LEFT and x + room > width:
            x, row = float(_LEFT), row + 1
        y = 9 + row * _LEGEND
        sample = f"M{px(x + 9)} {y}h0" if each.kind is Kind.DOTS else f"M{px(x)} {y}h18"
        parts.append(f'<path class="{each.kind} {tone_class(each.tone)}" d="{sample}"/>')
        parts.append(f'<text class="ink" x="{px(x + 24)}" y="{y}" dy=".35em">{escape(key)}</text>')
        x += room
    return "".join(parts), row + 1 if entries else 0


def tone_class(tone: int | None) -> str:
    """Give the class of a colour."""
    return "ink" if tone is None else f"t{tone % TONES}"


def px(value: float) -> str:
    """Give a place to a tenth of a pixel, in as few characters as it takes."""
    return _tenths(round(10 * value))


def _tenths(count: int) -> str:
    """Print tenths.

    Examples
    --------
    >>> [_tenths(count) for count in (1234, 20, 5, -5, 0)]
    ['123.4', '2', '.5', '-.5', '0']
    """
    sign, (whole, rest) = "-" if count < 0 else "", divmod(abs(count), 10)
    return sign + (f"{whole or ''}.{rest}" if rest else f"{whole}")
