"""Settings of a workspace: frozen, read once from `mainspring.toml` and the environment."""

from __future__ import annotations

__all__ = ["Settings"]

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

from mainspring.clock import parse_time
from mainspring.errors import Fault, Faults, Invalid
from mainspring.sinks.route import Route, read_routes

FILE = "mainspring.toml"
STATE = ".mainspring"
_ONLINE = ("sqlite:///", "postgresql://", "redis://", "rediss://")
_KINDS: dict[type, str] = {str: "text", int: "whole number", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a workspace is run.

    Every setting may stand in `mainspring.toml` or, as `MAINSPRING_<NAME>`, in the environment, which wins.

    Attributes
    ----------
    root : Path
        The folder with the product files.
    place : Path, optional
        Where all that mainspring keeps is; by default `.mainspring` in the root. It is no setting: a backtest has a
        place of its own beside that of the workspace.
    database : str
        URL of the database; empty for SQLite in the workspace's state folder.
    online_store : str
        URL of what feature views with `online="store"` are looked up in: `sqlite:///FILE`, relative to the root,
        `postgresql://…`, or `redis://…`, a database that no other workspace uses. Empty for SQLite in the workspace's
        state folder.
    host : str
        Address that the servers bind.
    port, gateway_port : int
        Ports of the control plane with its pages, and of the gateway; 0 takes a free one.
    grpc_port : int, optional
        Port of the gateway for gRPC, 8601 by custom; 0 takes a free one. Unset, it speaks HTTP alone.
    gateways : int
        How many gateway processes listen at the gateway's port.
    gateway_pending : int
        How many requests may be in progress at each; more are answered with 429.
    gateway_timeout_s : float
        How long a request may take at a gateway before it is given up.
    log_window_s : float
        How long an answer may be ahead of its record on disk. 0 sends no answer before its record is there; more sends
        it at once, and a gateway that dies takes along the predictions and labels of at most so many seconds.
    clock : str
        `system`, or a moment from which the workspace's time is driven by recorded data.
    interval_s : float
        Pause between two turns of the loop under the system's clock.
    engine : str
        Where data is scored: `local`, in processes of this machine, or `ray`.
    batch_timeout_s : float
        How long a model may take over a batch of rows: when it is packaged, judged, probed, or asked about a part of a
        scoring. One that takes longer is ended, and with it what it was asked for.
    seed : int
        Pins ids and drawn durations of a driven workspace.
    allow_code : str
        Products, with commas between them, whose models may be code of their own: to load such a model runs it.
    alerts : mapping of str to Route
        Ways on which alarms come to people, by name: see `mainspring.sinks.route`. In the environment, JSON.
    webhook_hosts : str
        Hosts, with commas between them, that webhooks of the registry may tell over http, and where their addresses are
        not public; `*` for all. Others are told over https, at public addresses.
    openlineage_url : str
        Where run events of OpenLineage are posted: a catalogue's address, with `/api/v1/lineage` added where it has no
        path. Unset, `OPENLINEAGE_URL` of the environment; a key for it stands in `OPENLINEAGE_API_KEY`.
    openlineage_file : str
        A file to which run events are added, one a line; a relative path lies in the root.
    openlineage_namespace : str
        Of the jobs and datasets in them. Unset, `OPENLINEAGE_NAMESPACE` of the environment, or `mainspring`.
    page_url : str
        Address at which people reach the pages, for links in alerts; empty for the host and port of the server.
    worker_memory_mb : int
        How much memory a process that serves a native model may take, in megabytes of address space beyond those
        that a bare Python takes.
    """

    root: Path
    place: Path | None = None
    database: str = ""
    online_store: str = ""
    host: str = "127.0.0.1"
    port: int = 8500
    gateway_port: int = 8600
    grpc_port: int | None = None
    gateways: int = 1
    gateway_pending: int = 1_000
    gateway_timeout_s: float = 10.0
    log_window_s: float = 0.0
    clock: str = "system"
    interval_s: float = 2.0
    engine: str = "local"
    batch_timeout_s: float = 600.0
    seed: int = 0
    allow_code: str = ""
    alerts: Mapping[str, Route] = field(default_factory=dict, repr=False)
    webhook_hosts: str = ""
    openlineage_url: str = ""
    openlineage_file: str = ""
    openlineage_namespace: str = ""
    page_url: str = ""
    worker_memory_mb: int = 4096

    @classmethod
    def load(cls, root: Path, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings of the workspace in a folder.

        Raises
        ------
        Faults
            A setting is unknown or has another type; all of them are told.
        """
        file = root / FILE
        given: dict[str, object] = {}
        if file.is_file():
            try:
                given = tomllib.loads(file.read_text())
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise Faults(FILE, (Fault("file", f"is no valid TOML: {error}."),)) from None
        names = {each.name for each in fields(cls)} - {"root", "place"}
        given |= {
            name: environment[f"MAINSPRING_{name.upper()}"]
            for name in names
            if f"MAINSPRING_{name.upper()}" in environment
        }
        for name in ("openlineage_url", "openlineage_namespace"):  # as OpenLineage's own clients are told
            if name.upper() in environment:
                given.setdefault(name, environment[name.upper()])
        routes, wrong = read_routes(given.pop("alerts", {}))
        faults = list(wrong)
        values: dict[str, Any] = {"alerts": routes}
        types = get_type_hints(cls)
        for name, value in given.items():
            if name not in names:
                faults.append(Fault(name, "is no setting.", f"There are: {', '.join(sorted(names))}."))
                continue
            try:
                values[name] = _read(name, value, next(iter(get_args(types[name])), types[name]))
            except Invalid as error:
                faults.append(Fault(name, str(error)))
        settings = replace(cls(root=root.resolve()), **values)
        if settings.driven and settings.gateways > 1:
            why = f"is {settings.gateways}, but recorded data drives the clock of one gateway only."
            faults.append(Fault("gateways", why, "Set it to 1, or the clock to system."))
        if settings.driven and settings.log_window_s:
            why = f"is {settings.log_window_s:g}, but a replay counts each answer before it goes on."
            faults.append(Fault("log_window_s", why, "Set it to 0, or the clock to system."))
        if faults:
            raise Faults(f"Settings of {root}", tuple(faults))
        return settings

    @property
    def state(self) -> Path:
        """The folder that holds all that mainspring keeps."""
        return self.place or self.root / STATE

    @property
    def policies(self) -> Path:
        """The folder with what is tried in place of a product's own policy, in files of their products' names."""
        return self.state / "policies"

    @property
    def pages(self) -> str:
        """Address of the pages, without a slash at its end."""
        return self.page_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def database_url(self) -> str:
        """URL of the database."""
        return self.database or f"sqlite:///{self.state / 'state.db'}"

    @property
    def online_url(self) -> str:
        """URL of the online store."""
        kind, _, file = self.online_store.partition("sqlite:///")
        return kind or f"sqlite:///{self.root / file if file else self.state / 'online.db'}"

    def allows_code(self, product: str) -> bool:
        """Whether a product's model may be code of its own."""
        return product in (name.strip() for name in self.allow_code.split(","))

    @property
    def driven(self) -> bool:
        """Whether recorded data drives the time."""
        return self.clock != "system"

    @property
    def code_files(self) -> tuple[Path, ...]:
        """The Python files that make up the products, in order.

        Those beside `product.py`, those of packages that lie there, and those below `products/`.
        """
        packages = [package.parent.rglob("*.py") for package in self.root.glob("*/__init__.py")]
        found = {*self.product_files, *self.root.glob("*.py"), *self.root.glob("products/**/*.py")}.union(
            *packages
        )
        return tuple(sorted(file for file in found if file.is_file()))

    @property
    def product_files(self) -> tuple[Path, ...]:
        """`product.py`, and every Python file in `products/`."""
        single = self.root / "product.py"
        many = sorted((self.root / "products").glob("[!_]*.py"))
        return (single, *many) if single.exists() or not many else tuple(many)


def _without_password(url: str) -> str:
    return re.sub(r":[^:@/]*@", ":…@", url)


def _read(name: str, value: object, kind: type) -> Any:
    """Read a setting; from the environment every value is a text, and a moment in TOML need not be one."""
    if isinstance(value, datetime):
        value = value.isoformat()
    fits = isinstance(value, str | kind) or (kind is float and isinstance(value, int))
    try:
        read = kind(value) if fits and not isinstance(value, bool) else None
    except ValueError:
        read = None
    match name:
        case _ if read is None:
            raise Invalid(f"is {value!r}, which is no {_KINDS[kind]}.")
        case "port" | "gateway_port" | "grpc_port" if not 0 <= read <= 65535:
            raise Invalid(f"is {value!r}, but ports are numbered from 0 to 65535.")
        case "gateways" | "gateway_pending" if not 1 <= read <= 100_000:
            raise Invalid(f"is {value!r}, but there must be at least 1.")
        case "worker_memory_mb" if read < 1:
            raise Invalid(f"is {value!r}, but a process takes more than no memory.")
        case "log_window_s" if not 0 <= read <= 60:
            raise Invalid(f"is {value!r}, but a window lasts from 0 to 60 seconds.")
        case "interval_s" | "gateway_timeout_s" | "batch_timeout_s" if not 0 < read < math.inf:
            raise Invalid(f"is {value!r}, but a time lasts longer than 0 seconds.")
        case "page_url" | "openlineage_url" if read and not read.startswith(("http://", "https://")):
            raise Invalid(f"is {value!r}, but an address begins with https:// or http://.")
        case "online_store" if read and not read.startswith(_ONLINE):
            told = ", ".join(_ONLINE)
            raise Invalid(
                f"is {_without_password(read)!r}, but an online store's address begins with one of {told}."
            )
        case "engine" if read not in ("local", "ray"):
            raise Invalid(f"is {value!r}, but there are the engines 'local' and 'ray'.")
        case "clock" if read != "system":
            parse_time(read)
    return read
