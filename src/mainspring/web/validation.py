"""What validation found in a batch, as one page of HTML that needs nothing else."""

from __future__ import annotations

__all__ = ["validation_html"]

from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from mainspring.web.chart import STYLE, px
from mainspring.web.environment import make_environment

if TYPE_CHECKING:
    from mainspring.operate.data.validation import Spread, ValidationReport

_WIDTH, _HEIGHT, _FOOT = 420, 120, 18
_LONGEST = 24

_BARS = """
.chart .bar { stroke: none; fill: var(--t0); } .chart .was { stroke: var(--t1); stroke-width: 2; fill: none; }
"""


def validation_html(report: ValidationReport) -> str:
    """Render a report: no script, nothing to fetch, and the style of the pages within."""
    style = files("mainspring.web.assets").joinpath("style.css").read_text() + STYLE + _BARS
    charts = [(each, Markup(_bars(each))) for each in report.columns if each.bins]
    return (
        make_environment()
        .get_template("validation.html")
        .render(report=report, row=report.batch, charts=charts, style=Markup(style))
    )


def _bars(spread: Spread) -> str:
    """Draw the share of rows in each bin as a bar, and that of the version before as a line across it."""
    most = max((*spread.now, *spread.before), default=0) or 1
    width = _WIDTH / len(spread.bins)

    def y(share: float) -> float:
        return (_HEIGHT - _FOOT) * (1 - share / most)

    title = f"How the values of {spread.name} are spread"
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<line class="rule" x1="0" x2="{_WIDTH}" y1="{_HEIGHT - _FOOT}" y2="{_HEIGHT - _FOOT}"/>',
    ]
    for place, (name, share) in enumerate(zip(spread.bins, spread.now, strict=True)):
        left, wide = place * width, width - 2
        told = f"{name}: {share:.1%}"
        if spread.before:
            told += f", before {spread.before[place]:.1%}"
        height = _HEIGHT - _FOOT - y(share)
        parts.append(
            f'<g><title>{escape(told)}</title><rect class="bar" x="{px(left)}" y="{px(y(share))}" '
            f'width="{px(wide)}" height="{px(height)}"/>'
        )
        if spread.before:
            at = px(y(spread.before[place]))
            parts.append(f'<path class="was" d="M{px(left)} {at}H{px(left + wide)}"/>')
        parts.append("</g>")
    for name, x, anchor in ((spread.bins[0], 0, "start"), (spread.bins[-1], _WIDTH, "end")):
        short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        parts.append(f'<text x="{x}" y="{_HEIGHT - 4}" text-anchor="{anchor}">{escape(short)}</text>')
        if len(spread.bins) == 1:
            break
    return "".join((*parts, "</svg>"))
