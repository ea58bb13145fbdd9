"""What renders the templates, and how values print in them."""

from __future__ import annotations

__all__ = ["make_environment"]

from datetime import UTC, datetime
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mainspring.clock import parse_time
from mainspring.web.quality import metric_name


def make_environment() -> Environment:
    """Make what renders templates: what is not said to be safe is escaped, and a name that is not there is a fault."""
    environment = Environment(
        loader=PackageLoader("mainspring.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "metric": metric_name,
        "milliseconds": _milliseconds,
        "moment": _moment,
        "number": _number,
        "share": _share,
        "tone": _tone,
    }
    environment.globals |= {"release": version("mainspring")}
    return environment


def _moment(at: datetime | str) -> Markup:
    """A moment in UTC, to the minute."""
    return Markup("<time>{:%Y-%m-%d %H:%M}</time>").format(parse_time(at) if isinstance(at, str) else at)


def _milliseconds(ms: int) -> Markup:
    """A moment as a client stated it, which may be any number."""
    try:
        return _moment(datetime.fromtimestamp(ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return Markup("{} ms").format(ms)


def _number(value: float | None) -> str:
    """A number in four digits, or a count in full."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _share(value: float) -> str:
    """A share in whole per cents, which no line ends within."""
    return f"{100 * value:.0f}\N{NO-BREAK SPACE}%"


def _tone(word: str | None) -> str:
    """Whether a word is good or bad news."""
    tones = {
        "good": (
            "promoted",
            "passed",
            "completed",
            "finished",
            "no_harm_shown",
            "published",
            "certified",
            "shown",
        ),
        "warn": (
            "expired",
            "insufficient_data",
            "could_not_judge",
            "hold",
            "paused",
            "awaiting_approval",
            "suspected",
        ),
        "bad": ("refused", "rolled_back", "failed", "killed", "harm", "confirmed", "alarm"),
    }
    return next((tone for tone, words in tones.items() if word in words), "")
