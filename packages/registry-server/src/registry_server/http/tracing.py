"""Traces by OpenTelemetry, where the environment names an endpoint for them.

Strategy: a span is made when its request has been answered, with the times that were measured
anyway. Nothing is kept in a context meanwhile, since requests run in greenlets and threads in which
that would be lost; and where no endpoint is named, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from litestar.types import HTTPScope

from registry_server.http.request_ids import request_id_of
from registry_server.process.lifetime import version
from registry_server.process.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""The variables that name where traces go, as OpenTelemetry defines them."""

_SERVICE = "registry-server"
"""What the service is called, unless OTEL_SERVICE_NAME says otherwise."""

_FIRST_SERVER_ERROR = 500


class Trace(Protocol):
    """Makes the span of one request that has been answered."""

    def __call__(
        self, scope: HTTPScope, *, operation: str | None, status: int, seconds: float
    ) -> None:
        """Make the span; the status is 0 of a request that was not answered."""


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names an endpoint for traces, and does not turn them off."""
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environ.get(variable) for variable in ENDPOINTS)


def check() -> None:
    """Find out, before anything is served, whether traces can be made.

    Raises:
        SettingsError: a library is missing.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http  # noqa: PLC0415 an extra
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415 an extra
    except ImportError as error:
        raise SettingsError(
            f"{ENDPOINTS[1]} asks for traces, which need the module '{error.name}': "
            "pip install 'registry-server[otel]'"
        ) from None


def start() -> tuple[Trace, Callable[[], None]]:
    """Return what makes spans in this process, and what sends the last ones when it ends.

    It starts a thread, so it is for the process that serves, after the fork. Sampling, headers and
    limits are as OpenTelemetry's own variables say.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 an extra

    name = os.environ.get("OTEL_SERVICE_NAME") or _SERVICE
    about = Resource.create({"service.name": name, "service.version": version()})
    provider = TracerProvider(resource=about, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _tracing(provider), provider.shutdown


def _tracing(provider: TracerProvider) -> Trace:
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415 an extra
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 an extra
        TraceContextTextMapPropagator,
    )

    tracer = provider.get_tracer("registry_server", version())
    propagator = TraceContextTextMapPropagator()

    def trace(scope: HTTPScope, *, operation: str | None, status: int, seconds: float) -> None:
        ended = time.time_ns()
        span = tracer.start_span(
            f"{scope['method']} {operation or 'other'}",
            context=propagator.extract(_parents(scope)),
            kind=SpanKind.SERVER,
            start_time=ended - int(seconds * 1e9),
            attributes={
                "http.request.method": scope["method"],
                "http.response.status_code": status,
                "url.path": scope["path"],
                "registry.operation": operation or "other",
                "registry.request_id": request_id_of(scope) or "",
            },
        )
        if status == 0 or status >= _FIRST_SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_time=ended)

    return trace


def _parents(scope: HTTPScope) -> dict[str, str]:
    """The headers that say which span a request belongs to."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
