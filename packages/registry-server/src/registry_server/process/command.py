"""The command `registry-server`: checks what it can, binds the address, and serves."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry_core import Registry, RegistryError, StoreUnavailableError, open_registry
from registry_core.backends import artifacts_url
from registry_core.webhooks import SecretBox
from registry_server.process import hashing, logs, sockets
from registry_server.process.arguments import FlagError, exit_with_usage, from_arguments
from registry_server.process.hangups import HANGUPS
from registry_server.process.lifetime import Lifetime
from registry_server.process.settings import DIRECT_ONLY, Settings, SettingsError
from registry_server.process.showing import asks_to_show, shown
from registry_server.process.sockets import is_loopback_host

if TYPE_CHECKING:
    from registry_server.http.app import Application
    from registry_server.process.listener import WorkerConfig

FAILED = 1
"""The exit code of a server that could not start."""

_COLLECT_AFTER = 20_000
"""How many objects may be added before the collector looks at them. A page of 100 models adds
1,500, and none is garbage that only a collector finds: at Python's 700, looking took a seventh of
its time."""

_WORKER_RETRY_SECONDS = 1
"""How long a worker that finds no store waits before the next one tries."""

_logger = logging.getLogger("registry_server")


class StartError(Exception):
    """The server cannot start; the message is for the user who starts it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server until a signal ends it, then exit with 0; with 1 if it cannot start.

    A mistake in the command line is 2, as in every command. `config show` before the flags shows
    the settings, and starts nothing; `hash` hashes a secret.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == [hashing.COMMAND]:
        sys.exit(hashing.run(arguments[1:]))
    HANGUPS.take()
    try:
        if asks_to_show(arguments):
            print(shown(arguments, os.environ))  # noqa: T201 what was asked for
            return
        run(from_arguments(arguments, os.environ))
    except FlagError as error:
        exit_with_usage(str(error))
    except (StartError, SettingsError, RegistryError) as error:
        # Drivers speak in several lines.
        reason = logs.escaped(" ".join(str(error).split()))
        print(f"registry-server: {reason}", file=sys.stderr)  # noqa: T201 a command says why
        sys.exit(FAILED)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first."""
    # What is loaded to start stays: the collector would look through it again and again.
    gc.disable()
    # Whatever cannot work is found out here, by one process and with one line.
    _check_exposure(settings)
    if settings.workers > 1 and settings.store.lower().startswith("memory:"):
        raise StartError("a store in memory cannot be shared by several workers")
    if settings.auth_file or settings.access_file:
        from registry_server.access.rules import Access  # noqa: PLC0415 not needed to start workers

        Access.of(settings)
    if settings.webhook_secret_key:
        SecretBox(settings.webhook_secret_key)
    if settings.local_source_root and not Path(settings.local_source_root).is_dir():
        raise StartError(f"--local-source-root {settings.local_source_root} is not a directory")
    _check_limits(settings)
    _check_store(settings)
    _check_direct_transfers(settings)
    logs.configure(settings.log_level, settings.log_format, access=settings.access_log)
    sockets.tls_context(settings)
    _check_tracing()
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(sockets.bound(settings.host, settings.port))]
        if settings.metrics_address is not None:
            listeners.append(held.enter_context(sockets.bound(*settings.metrics_address)))
            where = settings.metrics_address[0], listeners[1].getsockname()[1]
            settings = _changed(settings, metrics_address=where)
        lifetime = Lifetime(settings, sockets.url_of(settings, listeners[0]))
        lifetime.log_start()
        settings = _with_own_url(settings, listeners[0])
        if settings.workers == 1:
            _run_here(settings, listeners)
        else:
            _run_workers(settings, listeners)
        lifetime.end()


def start_in_worker(app: Application, settings: Settings, counters: Path) -> None:
    """Start an application with a store of this worker's own.

    Exits with a code that says to the parent whether another worker may succeed.
    """
    from registry_server.process.prefork import CANNOT_START  # noqa: PLC0415 see `_open`

    try:
        registry = _open(settings)
    except StoreUnavailableError as error:
        # The parent starts another worker in place of this one, until the store is back.
        _logger.warning("a worker waits for the store: %s", error)
        time.sleep(_WORKER_RETRY_SECONDS)
        sys.exit(FAILED)
    except RegistryError as error:
        _logger.error("a worker cannot start: %s", error)  # noqa: TRY400 the message says it all
        sys.exit(CANNOT_START)
    app.start(registry, counters=counters)
    app.on_shutdown.append(registry.close)
    _spare_collector()


def _open(settings: Settings) -> Registry:
    from registry_server.artifacts import ARTIFACTS  # noqa: PLC0415 `--help` need not wait for it

    return open_registry(
        settings.store,
        artifacts=settings.artifacts,
        database_connections=settings.database_connections,
        public_artifacts_url=settings.public_url and settings.public_url.rstrip("/") + ARTIFACTS,
        local_sources=False,
        local_source_root=settings.local_source_root,
    )


def _spare_collector() -> None:
    """Has the collector leave alone what is there, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    gc.enable()


def _config(settings: Settings, app: Application) -> WorkerConfig:
    from registry_server.process.limits import Limits  # noqa: PLC0415 see `_open`
    from registry_server.process.listener import WorkerConfig  # noqa: PLC0415 see `_open`

    config = WorkerConfig(
        app,
        interface="asgi3",
        http="registry_server.process.protocol:RegistryProtocol",
        ws="none",
        loop="auto",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=sockets.BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    config.limits = Limits.of(settings)
    config.tls = sockets.tls_context(settings)
    config.reload_files = partial(_reload, app, settings, config.tls)
    config.watch = app.watch
    return config


def _reload(app: Application, settings: Settings, tls: ssl.SSLContext | None) -> None:
    """Read again what is in files."""
    if tls is not None:
        try:
            sockets.load_certificate(tls, settings)
        except SettingsError as error:
            _logger.error("the old certificate stays: %s", error)  # noqa: TRY400 it says it all
    app.reload()


def _run_here(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    from registry_server.http.app import create_app  # noqa: PLC0415 see `_open`
    from registry_server.process.listener import WorkerServer  # noqa: PLC0415 see `_open`

    registry = _open(settings)
    app = create_app(registry, settings)
    app.on_shutdown.append(registry.close)
    _spare_collector()
    server = WorkerServer(_config(settings, app))
    # Uvicorn raises the signal that ended it again, when all is done: that is not a failure.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: None)
    server.run(sockets=[*listeners])


def _run_workers(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    from registry_server.http.app import compose  # noqa: PLC0415 see `_open`
    from registry_server.process.prefork import Prefork  # noqa: PLC0415 see `_open`

    app = compose(settings)
    config = _config(settings, app)
    with tempfile.TemporaryDirectory(prefix="registry-server-") as counters:
        start = partial(start_in_worker, app, settings, Path(counters))
        parent = Prefork(config, start, workers=settings.workers, listeners=listeners)
        has_failed = parent.run()
    if has_failed:
        raise StartError("a worker could not start; the log says why")


def _check_exposure(settings: Settings) -> None:
    is_asked = settings.auth_file or settings.access_file
    if is_asked or settings.allow_unauthenticated or is_loopback_host(settings.host):
        return
    raise StartError(
        f"{settings.host} can be reached by others, who could then change the registry: "
        "give an --access-file (REGISTRY_ACCESS_FILE), or say --allow-unauthenticated "
        "(REGISTRY_ALLOW_UNAUTHENTICATED=true)"
    )


def _check_limits(settings: Settings) -> None:
    from registry_server.process.limits import Limits  # noqa: PLC0415 see `_open`

    Limits.of(settings)


def _check_store(settings: Settings) -> None:
    with open_registry(
        settings.store, artifacts=settings.artifacts, database_connections=1
    ) as registry:
        registry.ping()


def _check_tracing() -> None:
    from registry_server.http import tracing  # noqa: PLC0415 see `_open`

    if tracing.is_wanted(os.environ):
        tracing.check()


def _check_direct_transfers(settings: Settings) -> None:
    root = artifacts_url(settings.store, settings.artifacts) or ""
    if settings.direct_transfers == DIRECT_ONLY and not root.lower().startswith("s3:"):
        raise StartError(
            "--direct-transfers only needs an artifact root in a bucket (s3://...): no other one "
            "gives clients URLs"
        )


def _with_own_url(settings: Settings, listener: socket.socket) -> Settings:
    """The settings with the URL under which this machine's clients reach the server.

    Only where they would else be given a path of this machine: clients that load a model from a
    path write into it. A bucket's URI is better than a URL that no client can reach.
    """
    root = artifacts_url(settings.store, settings.artifacts) or ""
    is_local = root.lower().startswith("file:") or (root != "" and "://" not in root)
    if settings.public_url or not is_local or not is_loopback_host(settings.host):
        return settings
    return _changed(settings, public_url=sockets.url_of(settings, listener))


def _changed(settings: Settings, **changes: Any) -> Settings:
    import attrs  # noqa: PLC0415 see `_open`

    return attrs.evolve(settings, **changes)
