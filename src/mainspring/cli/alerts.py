"""`alerts`: the ways on which alarms come to people, and whether they work."""

from __future__ import annotations

__all__ = ["app"]

import os
from datetime import UTC, datetime

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, opened
from mainspring.cli.show import display, print_json, table
from mainspring.errors import NotFound

app = App(
    name="alerts",
    help="See the routes on which alarms come to people, and test them.",
    help_epilogue="Examples:\n  mainspring alerts list\n  mainspring alerts test",
)

_NONE = 'No alert route is declared. Write one into mainspring.toml, such as:\n\n[alerts.ops]\nto = "stdout"'
_FAILED = 5


class RouteNotFound(NotFound):
    """A route that the settings do not have."""

    def __init__(self, route: str, known: tuple[str, ...]) -> None:
        super().__init__(route, known)
        self.route, self.known = route, known

    def __str__(self) -> str:
        return f"No alert route named {self.route!r}. There are: {', '.join(self.known) or 'none'}."


@app.command(name="list", help_epilogue="Example:\n  mainspring alerts list")
def list_routes(*, options: Options = HERE) -> None:
    """List the alert routes: what waits, why it was not taken, and when something last was."""
    from mainspring.sinks.deliver import route_rows

    with opened(options) as workspace:
        found = route_rows(workspace)
    if options.json:
        print_json(found)
    elif not found:
        display(_NONE)
    else:
        display(
            table(
                ("Route", "To", ">Waiting", ">Attempts", "Again at", "Because", "Last sent"),
                (
                    (
                        each.route,
                        each.to,
                        each.waiting,
                        each.attempts,
                        each.retry_at,
                        each.error or None,
                        each.last_sent_at,
                    )
                    for each in found
                ),
            )
        )


@app.command(
    name="test",
    help_epilogue="""\
Examples:
  mainspring alerts test
  mainspring alerts test ops

Exit code 5: a route did not take it.""",
)
def try_routes(route: str | None = None, /, *, options: Options = HERE) -> int:
    """Send a test alert on every route now, and say which have taken it.

    Parameters
    ----------
    route : str
        On this one alone.
    """
    from mainspring.sinks.alert import NotDelivered
    from mainspring.sinks.deliver import trial_message
    from mainspring.sinks.send import send

    came: dict[str, str] = {}
    with opened(options) as workspace:
        routes = workspace.settings.alerts
        if route is not None and route not in routes:
            raise RouteNotFound(route, tuple(routes))
        message = trial_message(workspace.settings.pages, datetime.now(UTC), actor())
        for name in [route] if route else routes:
            try:
                came[name] = send(routes[name], message, os.environ) or "sent"
            except NotDelivered as error:
                came[name] = f"not delivered: {error}"
    if options.json:
        print_json(came)
    elif not came:
        display(_NONE)
    else:
        display(table(("Route", "Outcome"), came.items()))
    return _FAILED if any(each.startswith("not delivered") for each in came.values()) else 0
