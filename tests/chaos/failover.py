"""A server on SQL whose PostgreSQL fails over: a standby takes the place of the primary.

The primary is killed, frozen or made read-only, the standby is promoted, and the server has to find
it: by a URL that names both, or behind a proxy that leads new connections to the new primary and
leaves those that are open where they are. Writes and reads go on meanwhile, as in `chaos.sql`: what
was acknowledged must be there in the end, and no read may show what used to be.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from chaos.sql import Plan, Prober, Result, endure_faults
from services.cluster import Cluster
from services.registry_server import RegistryServer
from services.tcp_proxy import TcpProxy

RECOVERY_SECONDS = 5.0
"""After the promotion within which writes succeed again, through every worker."""

NOTICED_SECONDS = 2.0
"""Within which somebody has noticed that a primary is gone, and promotes the standby."""


def endure_by_hosts(plan: Plan, directory: Path) -> Result:
    """Runs the plan with a URL that names both servers."""
    with Cluster() as cluster:
        return _endure(Result(plan, "two hosts"), directory, cluster, cluster.url, lambda: None)


def endure_by_proxy(plan: Plan, directory: Path) -> Result:
    """Runs the plan with a proxy before the servers."""
    with Cluster() as cluster, TcpProxy(cluster.primary.port).running() as proxy:
        url = cluster.primary.url().replace(f":{cluster.primary.port}/", f":{proxy.port}/")

        def switch() -> None:
            proxy.switch(cluster.primary.port)

        return _endure(Result(plan, "proxy"), directory, cluster, url, switch)


def _endure(
    result: Result, directory: Path, cluster: Cluster, url: str, switch: Callable[[], None]
) -> Result:
    strikes = {"killed": cluster.kill, "frozen": cluster.freeze, "fenced": cluster.fence}

    def fail_over(strike: Callable[[], None], chance: random.Random) -> float:
        strike()
        time.sleep(chance.uniform(0, NOTICED_SECONDS))
        cluster.promote()
        switch()
        return time.monotonic()

    faults = {
        kind: lambda chance, strike=strike: fail_over(strike, chance)
        for kind, strike in strikes.items()
    }
    with RegistryServer(url, workers=result.plan.workers) as server:
        endured = endure_faults(result, server.url, faults, directory, Prober(server.url))
        # What hangs there would keep the server from ending.
        cluster.standby.kill()
        return endured
