"""What `/metrics` shows of a server, put together from its parts."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from registry_core import Registry
from registry_core.metering import PoolState, pool_of
from registry_server.http.amounts import AmountsGauge
from registry_server.http.exposition import Family, Sample
from registry_server.http.metrics import Gauge, Metrics
from registry_server.http.operations import Operation, Work
from registry_server.http.parts import Part
from registry_server.process.connections import Connections
from registry_server.process.lifetime import version

_POOL = {
    "limit": ("registry_database_connections_limit", "Connections there may be to the database."),
    "open": ("registry_database_connections", "Connections to the database."),
    "idle": ("registry_database_connections_idle", "Connections to the database that are idle."),
    "waiting": ("registry_database_connections_waiting", "Calls that wait for a connection."),
}
"""The metrics of a store's connections, by the field of `PoolState`."""


class Watching:
    """The metrics of one process, and what it takes to make them."""

    def __init__(
        self,
        operations: Sequence[Operation[Any, Any]],
        parts: Sequence[Part],
        *,
        gauges: Sequence[Gauge],
        mlflow_version: str,
    ) -> None:
        self._connections: Connections | None = None
        self._amounts = AmountsGauge()
        self._mlflow_version = mlflow_version
        self._pool: Callable[[], PoolState] | None = None
        groups = {operation.id: operation.group for operation in operations}
        groups |= {name: part.group for part in parts for name in part.names}
        of_parts = (gauge for part in parts for gauge in part.gauges)
        self.metrics = Metrics(
            groups,
            works=[work.name.lower() for work in Work],
            gauges=(*self._of_connections(), *gauges, *of_parts, *self._of_pool()),
            extra=self._of_server,
        )

    def start(self, registry: Registry) -> None:
        """Watch this registry's store from now on."""
        self._amounts.start(registry)
        self._pool = pool_of(registry.store)

    def watch(self, connections: Connections) -> None:
        """Watch these connections, and write the gauges down as often as they are looked at."""
        self._connections = connections
        connections.on_sweep.append(self.metrics.sample)
        self.metrics.sample()

    def _of_connections(self) -> tuple[Gauge, ...]:
        return (
            Gauge(
                name="registry_connections",
                help="Open connections of clients.",
                read=lambda: 0 if self._connections is None else self._connections.count,
            ),
            Gauge(
                name="registry_waiting_bytes",
                help="Bytes of requests and answers that wait for slow clients.",
                read=lambda: 0 if self._connections is None else self._connections.waiting,
            ),
        )

    def _of_pool(self) -> tuple[Gauge, ...]:
        return tuple(
            Gauge(name=name, help=text, read=partial(self._of_state, field))
            for field, (name, text) in _POOL.items()
        )

    def _of_state(self, field: str) -> int:
        return 0 if self._pool is None else int(getattr(self._pool(), field))

    def _of_server(self) -> Iterable[Family]:
        labels = {
            "version": version(),
            "python": platform.python_version(),
            "mlflow": self._mlflow_version,
        }
        said = "The release that runs, and the release of MLflow whose API it speaks."
        yield Family("registry_build_info", "gauge", said, [Sample(labels, 1)])
        yield from self._amounts.families()
