"""Charts that compare versions: intervals of differences beside zero, and curves of shares."""

from __future__ import annotations

__all__ = ["Curve", "IntervalRow", "curve_chart", "interval_chart"]

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mainspring.web.chart import LETTER, Kind, Series, legend_of, px, round_ticks, tone_class

BETTER, WORSE, UNDECIDED = 2, 6, 7
"""Tones of what an interval says; the text beside it says so too."""

_LEFT, _RIGHT, _BOTTOM, _ROW = 46, 14, 40, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A difference with its interval.

    Attributes
    ----------
    label : str
        What is compared.
    estimate, low, high : float
    good : int
        -1 where less is better, 1 where more is.
    """

    label: str
    estimate: float
    low: float
    high: float
    good: int

    @property
    def tone(self) -> int:
        """The colour of what it says."""
        if self.low <= 0 <= self.high:
            return UNDECIDED
        return BETTER if (self.low > 0) == (self.good > 0) else WORSE

    @property
    def word(self) -> str:
        """What it says in a word."""
        return {BETTER: "better", WORSE: "worse", UNDECIDED: "no difference shown"}[self.tone]


def interval_chart(rows: Sequence[IntervalRow], *, title: str, width: int = 860) -> str:
    """Draw differences with their intervals, one below the other, beside a line at zero.

    Parameters
    ----------
    rows : sequence of IntervalRow
    title : str
        What the chart shows, for those who do not see it; the rows are added to it.
    width : int
        In pixels, at which the letters have their size.

    Returns
    -------
    str
        An `svg` element; an empty text when there is nothing to draw.

    Examples
    --------
    >>> row = IntervalRow(label="log loss", estimate=-0.02, low=-0.03, high=-0.01, good=-1)
    >>> row.word, interval_chart([row], title="Differences")[:24]
    ('better', '<svg class="chart" viewB')
    """
    if not rows:
        return ""
    narrow = width < 600
    labels = 0 if narrow else min(width // 3, 24 + int(max(len(row.label) for row in rows) * LETTER))
    words = 0 if narrow else int(22 * LETTER)
    row_height = _ROW + (16 if narrow else 0)
    left, right = max(20, labels), width - max(20, words)
    height = len(rows) * row_height + _BOTTOM
    reach = [0.0, *(edge for row in rows for edge in (row.low, row.high))]
    ticks = round_ticks(min(reach), max(reach), most=max(3, (right - left) // 80))

    def x(value: float) -> float:
        return left + (right - left) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    told = "; ".join(
        f"{row.label}: {row.estimate:+.3g}, {row.low:+.3g} to {row.high:+.3g}, {row.word}" for row in rows
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(f"{title}. {told}")}">'
    ]
    bottom = len(rows) * row_height
    digits = max(len(f"{tick:.10g}".partition(".")[2]) for tick in ticks)
    for tick in ticks:
        kind = "ink" if tick == 0 else "rule"
        parts.append(f'<path class="{kind}" d="M{px(x(tick))} 4V{bottom}"/>')
        parts.append(
            f'<text text-anchor="middle" x="{px(x(tick))}" y="{bottom + 16}">{tick:+.{digits}f}</text>'
            if tick
            else f'<text class="ink" text-anchor="middle" x="{px(x(tick))}" y="{bottom + 16}">0</text>'
        )
    for index, row in enumerate(rows):
        y = index * row_height + row_height / 2 + (8 if narrow else 0)
        tone = tone_class(row.tone)
        if narrow:
            parts.append(
                f'<text class="ink" x="{left}" y="{px(y - 14)}">{escape(f"{row.label}: {row.word}")}</text>'
            )
        else:
            parts.append(f'<text class="ink" x="0" y="{px(y)}" dy=".35em">{escape(row.label)}</text>')
            parts.append(f'<text x="{right + 12}" y="{px(y)}" dy=".35em">{row.word}</text>')
        parts.append(f'<path class="line {tone}" d="M{px(x(row.low))} {px(y)}H{px(x(row.high))}"/>')
        parts += [
            f'<path class="line {tone}" d="M{px(x(edge))} {px(y - 4)}v8"/>' for edge in (row.low, row.high)
        ]
        parts.append(f'<path class="point {tone}" d="M{px(x(row.estimate))} {px(y)}h0"/>')
    parts.append(
        f'<text text-anchor="middle" x="{px((left + right) / 2)}" y="{height - 6}">'
        "challenger less champion</text></svg>"
    )
    return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A share that changes along the horizontal axis: points in order, joined by steps."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: int


def curve_chart(
    curves: Sequence[Curve],
    *,
    title: str,
    axis: str,
    logarithmic: bool = False,
    number: Callable[[float], str] = "{:g}".format,
    width: int = 860,
    height: int = 260,
) -> str:
    """Draw shares, from 0 to 100 %, as step curves.

    Parameters
    ----------
    curves : sequence of Curve
    title : str
        For those who do not see it.
    axis : str
        What the horizontal axis is.
    logarithmic : bool
        Whether it doubles from tick to tick; all places must be above 0 then.
    number : callable
        Prints a place on it.
    width, height : int

    Returns
    -------
    str
        An `svg` element; an empty text when there is nothing to draw.

    Examples
    --------
    >>> curve_chart([Curve(name="v1", points=[(1.0, 0.2), (8.0, 1.0)], tone=0)], title="Latency", axis="ms")[:24]
    '<svg class="chart" viewB'
    """
    places = [place for curve in curves for place, _ in curve.points]
    if not places:
        return ""
    scale: Callable[[float], float] = math.log2 if logarithmic else float
    low, high = scale(min(places)), scale(max(places))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    marks = _doublings(low, high) if logarithmic else round_ticks(low, high, most=max(3, width // 120))
    if not logarithmic:
        low, high = min(low, marks[0]), max(high, marks[-1])
    series = [
        Series(name=each.name, days=(), kind=Kind.LINE, tone=each.tone, key=each.name) for each in curves
    ]
    legend, rows = legend_of(series, width)
    top, bottom, right = rows * 20 + 6, height - _BOTTOM, width - _RIGHT

    def x(place: float) -> float:
        return _LEFT + (right - _LEFT) * (place - low) / (high - low)

    def y(share: float) -> float:
        return bottom - (bottom - top) * share

    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        legend,
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path class="rule" d="M{_LEFT} {px(y(share))}H{right}"/>')
        parts.append(
            f'<text text-anchor="end" x="{_LEFT - 8}" y="{px(y(share))}" dy=".35em">{share:.0%}</text>'
        )
    for mark in marks:
        place = 2**mark if logarithmic else mark
        parts.append(f'<text text-anchor="middle" x="{px(x(mark))}" y="{bottom + 16}">{number(place)}</text>')
    parts += [_steps(curve, x, y, scale) for curve in curves if curve.points]
    parts.append(
        f'<text text-anchor="middle" x="{px((_LEFT + right) / 2)}" y="{height - 6}">{escape(axis)}</text>'
    )
    return "".join([*parts, "</svg>"])


def _steps(
    curve: Curve, x: Callable[[float], float], y: Callable[[float], float], scale: Callable[[float], float]
) -> str:
    def pieces() -> Iterator[str]:
        place, share = curve.points[0]
        yield f"M{px(x(scale(place)))} {px(y(share))}"
        for place, share in curve.points[1:]:
            yield f"H{px(x(scale(place)))}V{px(y(share))}"

    return f'<path class="line {tone_class(curve.tone)}" d="{"".join(pieces())}"/>'


def _doublings(low: float, high: float) -> list[float]:
    """Whole powers of two between two of them, at most about ten.

    Examples
    --------
    >>> _doublings(-0.2, 3.4), _doublings(0.1, 0.3)
    ([0.0, 1.0, 2.0, 3.0], [0.1, 0.3])
    """
    first, last = math.ceil(low), math.floor(high)
    if last - first < 1:
        return [low, high]
    every = max(1, math.ceil((last - first) / 10))
    return [float(each) for each in range(first, last + 1, every)]
