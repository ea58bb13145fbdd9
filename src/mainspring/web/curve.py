"""The curves of a metric over steps, as SVG text."""

from __future__ import annotations

__all__ = ["curve", "is_drawn"]

import math
from html import escape
from typing import TYPE_CHECKING

from mainspring.web.chart import px, round_ticks, tone_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mainspring.tracking.record import Metric

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 180, 56, 10, 24, 22


def is_drawn(point: Metric) -> bool:
    """Whether a point has a place: NaN has none, nor have numbers next to which all others would be one."""
    return math.isfinite(point.value) and (point.value == 0 or _LEAST < abs(point.value) < _LARGEST)


_LEAST, _LARGEST = 1e-100, 1e100


def curve(points: Mapping[str, Sequence[Metric]]) -> str:
    """Draw one line per run; what has no place is a gap.

    Parameters
    ----------
    points : mapping
        The points of each run by step, under its name.
    """
    shown = [point for some in points.values() for point in some if is_drawn(point)]
    steps, values = [point.step for point in shown], [point.value for point in shown]
    ticks = round_ticks(min(values), max(values), most=4)
    low, high, first, last = ticks[0], ticks[-1], min(steps), max(steps)

    def x(step: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (step - first) / max(1, last - first)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))

    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    for tick in ticks:
        parts.append(
            f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{px(y(tick))}" y2="{px(y(tick))}"/>'
        )
        parts.append(f'<text x="{_LEFT - 6}" y="{px(y(tick) + 4)}" text-anchor="end">{tick:.4g}</text>')
    for step, anchor in ((first, "start"), (last, "end")):
        parts.append(f'<text x="{px(x(step))}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{step:,}</text>')
    for number, (name, some) in enumerate(points.items()):
        path, pen = [], "M"
        for point in some:
            if not is_drawn(point):
                pen = "M"
                continue
            path.append(f"{pen}{px(x(point.step))} {px(y(point.value))}")
            pen = "L"
        parts.append(
            f'<path class="line {tone_class(number)}" d="{"".join(path)}"><title>{escape(name)}</title></path>'
        )
        if len(points) > 1:
            at = _LEFT + number * (_WIDTH - _LEFT) / len(points)
            parts.append(f'<text class="{tone_class(number)}" x="{px(at)}" y="12">{escape(name[:28])}</text>')
    return "".join((*parts, "</svg>"))
