"""W3C trace context: which trace a request belongs to, and a span of it for those who collect them [1]_.

References
----------
.. [1] W3C, "Trace Context", https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

__all__ = ["Tracer", "trace_of", "tracer"]

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mainspring.gateway.refusals import refusal

if TYPE_CHECKING:
    from mainspring.gateway.http import Headers

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_CONFIGURED_BY = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)

_log = logging.getLogger(__name__)


def trace_of(headers: Headers) -> str:
    """Give the trace id of a request; empty when it has none, or a malformed one, as the standard wants it.

    Examples
    --------
    >>> trace_of({b"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b""))
    return found[1].decode() if found else ""


class Tracer:
    """Makes a span of every request for predictions, and hands it to OpenTelemetry's exporter."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("mainspring.gateway")

    @contextmanager
    def span(
        self,
        product: str,
        headers: Headers,
        door: Mapping[str, str],
        end: Callable[[Exception | None], tuple[str, int]],
    ) -> Iterator[str]:
        """Enclose a request; gives the id of its trace.

        Parameters
        ----------
        product : str
            What is asked.
        headers : Headers
            Or metadata, with the caller's trace.
        door : mapping
            Attributes that say how it was asked.
        end : callable
            Gives the attribute in which the door tells its statuses, and the status of an error, or of none.
        """
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        told = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        with self._tracer.start_as_current_span(
            f"predict {product}",
            context=TraceContextTextMapPropagator().extract(told),
            kind=SpanKind.SERVER,
            attributes={**door, "mainspring.product": product},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            failed = None
            try:
                yield format(span.get_span_context().trace_id, "032x")
            except Exception as error:
                failed = error
                raise
            finally:
                span.set_attribute(*end(failed))
                if failed is not None and refusal(failed).status >= 500:
                    span.set_status(StatusCode.ERROR)

    def close(self) -> None:
        """Hand over what waits."""
        self._provider.shutdown()


def tracer(environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """Give a tracer when OpenTelemetry's own variables ask for one and it is installed; else load nothing of it."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(
        environment.get(name) for name in _CONFIGURED_BY
    ):
        return None
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter == "none":
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

        made: SpanExporter
        if exporter == "console":
            made = ConsoleSpanExporter()
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            made = OTLPSpanExporter()
    except ImportError as error:
        _log.warning("OTEL_ variables are set, but no spans are made: %s. Install mainspring[otel].", error)
        return None
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": "mainspring-gateway"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(made))
    return Tracer(provider)
