"""The pages' routes: parse, read, render."""

from __future__ import annotations

__all__ = ["pages"]

from collections.abc import Callable
from hashlib import blake2b
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from mainspring.clock import DrivenClock
from mainspring.errors import Invalid, MainspringError, NotFound
from mainspring.events import EventType
from mainspring.loop import CycleNotFound, CycleState
from mainspring.monitoring import AlarmNotFound
from mainspring.operate import status
from mainspring.operate.alarms import alarm_rows, alarm_story
from mainspring.operate.report import rollout_report, rollout_summaries
from mainspring.web import budget, lineage, models, runs, triggers
from mainspring.web.alarms import charts_of
from mainspring.web.chart import STYLE
from mainspring.web.environment import make_environment
from mainspring.web.quality import quality_chart, volume_chart, week_loss
from mainspring.web.rollouts import shown_of

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request
    from starlette.types import Scope

    from mainspring.workspace import Workspace

# A page and what it shows; None where there is nothing of that name.
View: TypeAlias = Callable[["Workspace", "Request"], tuple[str, dict[str, Any]]]

_EVENTS = 50
_SHOWN = 10
_NARROW = 400
_STEPS = ("Start", "Train", "Judge", "Register", "Roll out", "Close")
_ASSETS = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def pages(workspace: Workspace) -> list[BaseRoute]:
    """Give the pages of a workspace: products with triggers, alarm budget, cycles, rollouts and alarms, and more.

    Nothing under `/v1/` is a page: that is the API's.
    """
    environment = make_environment()
    return [
        Route("/", _page(workspace, environment, _start)),
        Route("/products/{product}", _page(workspace, environment, _product)),
        Route("/products/{product}/triggers", _page(workspace, environment, _triggers)),
        Route("/products/{product}/alarm-budget", _page(workspace, environment, _budget)),
        Route("/products/{product}/cycles/{number}", _page(workspace, environment, _cycle)),
        Route("/products/{product}/rollouts/{rollout}", _page(workspace, environment, _rollout)),
        Route("/products/{product}/alarms/{alarm}", _page(workspace, environment, _alarm)),
        Route("/experiments", _page(workspace, environment, runs.experiments)),
        Route("/experiments/{experiment}", _page(workspace, environment, runs.experiment)),
        Route("/experiments/{experiment}/runs/{run}", _page(workspace, environment, runs.run)),
        Route("/comparison", _page(workspace, environment, runs.comparison)),
        Route("/models/{model}/versions/{version}", _page(workspace, environment, models.card)),
        Route("/models/{model}", _page(workspace, environment, models.model)),
        Route("/lineage", _page(workspace, environment, lineage.shown_of)),
        Route("/events", _page(workspace, environment, _events)),
        Route("/assets/{name}", _asset),
        _Elsewhere("/{path:path}", _page(workspace, environment, _nowhere)),
    ]


# --- what pages show ---------------------------------------------------------------------------------------------


def _start(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    with workspace.database.read() as tx:
        names = status.product_names(tx)
    if len(names) == 1:
        return _of_product(workspace, names[0])
    found = [status.product_status(workspace, name) for name in names]
    losses = {name: week_loss(status.quality_rows(workspace, name)) for name in names}
    return "products.html", {
        "products": found,
        "losses": losses,
        "events": _newest(workspace),
    }


def _product(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    return _of_product(workspace, request.path_params["product"])


def _of_product(workspace: Workspace, product: str) -> tuple[str, dict[str, Any]]:
    found = status.product_status(workspace, product)
    cycles, quality = status.cycle_rows(workspace, product), status.quality_rows(workspace, product)
    champion = found.champion and int(found.champion.ref.partition("@")[2])
    return "product.html", {
        "status": found,
        "since": next(
            (
                cycle.closed_at
                for cycle in reversed(cycles)
                if cycle.outcome == "promoted" and cycle.version == champion
            ),
            None,
        ),
        "week_loss": week_loss(quality),
        "charts": [Markup(quality_chart(quality, cycles, width=width)) for width in (860, _NARROW)],
        "volumes": [Markup(volume_chart(quality, width=width)) for width in (860, _NARROW)],
        **(_progress(found.cycle) if found.cycle else {}),
        "cycles": cycles[:-11:-1],
        "rollouts": rollout_summaries(workspace, product)[:-6:-1],
        "alarms": alarm_rows(workspace, product)[:-6:-1],
        "events": _newest(workspace),
    }


def _triggers(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    return "triggers.html", triggers.shown_of(workspace, request.path_params["product"])


def _budget(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    return "budget.html", budget.shown_of(workspace, request.path_params["product"])


def _cycle(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    product, number = request.path_params["product"], request.path_params["number"]
    if not number.isdecimal():
        raise CycleNotFound(f"{product}/{number}")
    cycle, told = status.explain_cycle(workspace, product, int(number))
    return "cycle.html", {
        "cycle": cycle,
        "events": told,
        **_progress(cycle),
    }


def _rollout(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    product, wanted = request.path_params["product"], request.path_params["rollout"]
    return "rollout.html", shown_of(rollout_report(workspace, product, wanted))


def _alarm(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    product, wanted = request.path_params["product"], request.path_params["alarm"]
    story = alarm_story(workspace, wanted)
    if story.alarm.product != product:
        raise AlarmNotFound(wanted)
    return "alarm.html", {"story": story, "charts": [Markup(each) for each in charts_of(workspace, wanted)]}


def _newest(workspace: Workspace) -> list[status.EventRow]:
    """The newest events but those that come with every few predictions and would crowd the others out."""
    newest = status.events(workspace, limit=10 * _SHOWN)
    return [each for each in newest if each.type != EventType.SEGMENT_SEALED][:_SHOWN]


def _progress(cycle: status.CycleRow) -> dict[str, Any]:
    """The steps of a cycle, and the last one that is done; a rollout is one that goes on."""
    if not cycle.data:  # it rolls out what is registered
        return {"steps": (_STEPS[0], *_STEPS[4:]), "reached": 0}
    state = CycleState(cycle.state)
    return {
        "steps": _STEPS,
        "reached": list(CycleState).index(state) - (state is CycleState.ROLLING_OUT),
    }


def _events(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    text = request.query_params.get("before")
    if text is not None and not (text.isdecimal() and 0 < int(text) < 2**62):
        raise Invalid(f"before={text!r} is no number of an entry.")
    before = int(text) if text else None
    return "events.html", {
        "events": status.events(workspace, limit=_EVENTS, before=before),
        "before": before,
        "page": _EVENTS,
    }


def _nowhere(workspace: Workspace, request: Request) -> tuple[str, dict[str, Any]]:
    raise PageNotFound(request.url.path)


class PageNotFound(NotFound):
    """An address at which there is no page."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"There is no page at {self.path}."


class _Elsewhere(Route):
    """Every address that no other route has, but those of the API."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope.get("path", "").startswith("/v1/"):
            return Match.NONE, {}
        return super().matches(scope)


# --- how they are answered ---------------------------------------------------------------------------------------


def _page(workspace: Workspace, environment: Environment, view: View) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        code = 200
        try:
            template, shown = view(workspace, request)
        except MainspringError as error:
            template, shown, code = "error.html", {"message": str(error)}, _status(error)
        shown |= {
            "now": workspace.clock.now(),
            "driven": isinstance(workspace.clock, DrivenClock),
            "code": code,
        }
        content = environment.get_template(template).render(shown, path=request.url.path).encode()
        return _tagged(request, content, "text/html", code)

    return answer


def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        return Response("There is no such file.", 404, media_type="text/plain")
    content = files("mainspring.web.assets").joinpath(name).read_text()
    return _tagged(request, (content + (STYLE if name == "style.css" else "")).encode(), _ASSETS[name])


def _tagged(request: Request, content: bytes, media_type: str, code: int = 200) -> Response:
    """Answer with a content, or with nothing where the browser has it already."""
    headers = _HEADERS | {"ETag": f'"{blake2b(content, digest_size=12).hexdigest()}"'}
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if code == 200 and headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(content, code, headers, media_type)


def _status(error: MainspringError) -> int:
    match error:
        case NotFound():
            return 404
        case Invalid():
            return 400
        case _:
            return 503
