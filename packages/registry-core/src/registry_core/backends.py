"""Which backend answers to which store URL; each is imported when it is first used."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs

from registry_core.arguments import checked
from registry_core.artifacts import ArtifactStore
from registry_core.errors import (
    BackendNotInstalledError,
    InvalidArgumentError,
    UnknownBackendError,
    UnsupportedBackendError,
)
from registry_core.foreign import ForeignSources
from registry_core.gates import Gate
from registry_core.redaction import redacted
from registry_core.registry import Registry
from registry_core.store import Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from types import ModuleType

DEFAULT_STORE_URL = "sqlite:///registry.db"
"""Where a registry is kept by default: a file in the working directory."""

CONNECTIONS_VARIABLE = "REGISTRY_DATABASE_CONNECTIONS"
"""How many connections to a database a process may have, where its configuration says nothing."""

MOST_DATABASE_CONNECTIONS = 1_000
"""More than any server admits by far; a larger number is a typo."""

ENTRY_POINT_GROUP = "registry_core.stores"
"""Distributions add a scheme by an entry point of this group that names an `open_store`."""


@attrs.frozen
class Backend:
    """A backend by the dotted name of its `open_store(url) -> Store`, and the extra it needs."""

    target: str
    extra: str | None = None


_SQL = "registry_core.stores.sql:open_store"

BACKENDS: Mapping[str, Backend] = {
    "memory": Backend("registry_core.stores.memory:open_store"),
    "sqlite": Backend(_SQL, extra="sql"),
    "postgresql": Backend(_SQL, extra="postgres"),
    "postgres": Backend(_SQL, extra="postgres"),
    "s3": Backend("registry_core.stores.s3:open_store", extra="s3"),
    "http": Backend("registry_core.stores.rest:open_store", extra="rest"),
    "https": Backend("registry_core.stores.rest:open_store", extra="rest"),
}
"""By scheme. Those in SQL also answer to `scheme+driver`, as SQLAlchemy and MLflow write it."""

_ARTIFACTS: Mapping[str, Backend] = {
    "s3": Backend("registry_core.artifacts.backends.s3:open_artifact_store", extra="s3"),
    "file": Backend("registry_core.artifacts.backends.local:open_artifact_store"),
}
_FSSPEC = Backend("registry_core.artifacts.backends.fsspec:open_artifact_store", extra="artifacts")


def store_url(url: str | None = None, *, environ: Mapping[str, str] | None = None) -> str:
    """Return the store URL to use: `url`, else REGISTRY_STORE, else DATABASE_URL, else a file.

    Example:
        >>> store_url(environ={"DATABASE_URL": "postgresql://db/registry"})
        'postgresql://db/registry'
    """
    environ = os.environ if environ is None else environ
    return url or environ.get("REGISTRY_STORE") or environ.get("DATABASE_URL") or DEFAULT_STORE_URL


def connection_limit(
    limit: int | None = None, *, environ: Mapping[str, str] | None = None
) -> int | None:
    """Return the most connections to use: the given number, else REGISTRY_DATABASE_CONNECTIONS.

    None where neither says so: the backend has a default.

    Raises:
        InvalidArgumentError: it is not a number from 1 to `MOST_DATABASE_CONNECTIONS`.
    """
    environ = os.environ if environ is None else environ
    text = str(limit) if limit is not None else environ.get(CONNECTIONS_VARIABLE, "")
    if not text:
        return None
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST_DATABASE_CONNECTIONS:
        return int(text)
    raise InvalidArgumentError(
        f"The number of connections to a database, or {CONNECTIONS_VARIABLE}, must be a number "
        f"from 1 to {MOST_DATABASE_CONNECTIONS}, not '{text}'"
    )


def open_store(url: str, *, database_connections: int | None = None, create: bool = True) -> Store:
    """Open the store at a URL such as `sqlite:///registry.db` or `s3://bucket/prefix`.

    A SQLite file that is not there is made, and an empty database made ready, unless `create` says
    otherwise.

    A process opens at most `database_connections` connections to a PostgreSQL server, or as many as
    that backend does by default; to other stores it says nothing.

    Raises:
        UnknownBackendError: no backend answers to the scheme; the message names those that do.
        BackendNotInstalledError: the driver is missing; the message names the extra to install.
        StoreNotFoundError: There is no such database, or it is empty, and `create` is not set.

    Example:
        >>> open_store("sqlite:///registry.db").close()
    """
    backend = BACKENDS.get(_scheme(url))
    if backend is not None and backend.target == _SQL:
        open_database = cast("Callable[..., Store]", _function(_scheme(url), backend))
        return open_database(url, connections=database_connections, create=create)
    return _opener(url)(url)


def artifacts_url(
    store: str, url: str | None = None, *, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return the artifact root to use with a store: `url`, else REGISTRY_ARTIFACTS, else its own.

    A SQLite file has a directory `registry-artifacts` beside it, a bucket keeps artifacts below
    `artifacts/` of its prefix. Other stores have none of their own: None. The word `none` is none.
    """
    environ = os.environ if environ is None else environ
    chosen = url or environ.get("REGISTRY_ARTIFACTS") or _own_artifacts(store)
    return None if chosen == "none" else chosen


def open_artifacts(url: str) -> ArtifactStore:
    """Open the artifact store at `s3://bucket/prefix`, `file:///path`, a path, or an fsspec URL.

    Raises:
        BackendNotInstalledError: the driver is missing; the message names the extra to install.
    """
    scheme = _scheme(url) if "://" in url else "file"
    backend = _ARTIFACTS.get(scheme, _FSSPEC)
    return cast("ArtifactStore", _function(scheme, backend)(url))


@checked
def open_registry(
    url: str | None = None,
    *,
    artifacts: str | None = None,
    database_connections: int | None = None,
    create: bool = True,
    public_artifacts_url: str | None = None,
    local_sources: bool = True,
    local_source_root: str | None = None,
    gates: Iterable[Gate] = (),
) -> Registry:
    """Open the registry kept at a store URL.

    Use it as a context manager, or close it, to free connections.

    Args:
        url: Where the metadata is; see `store_url` for None.
        artifacts: Where the files of versions are; see `artifacts_url` for None.
        database_connections: Of this process, at most; see `connection_limit` for None.
        create: Whether to make a registry in a SQL database that has none; see `open_store`.
        public_artifacts_url: As for `Registry`.
        local_sources: As for `Registry`.
        local_source_root: As for `Registry`.
        gates: As for `Registry`. A server has its own: through one, moves that these are about
            raise `UnsupportedBackendError`.

    Raises:
        BackendError: The URL means nothing, its driver is missing, or it cannot hold a registry.
        StoreNotFoundError: There is no registry, and `create` is not set.
        StoreUnavailableError: The backend does not answer.

    Example:
        >>> with open_registry("sqlite:///registry.db") as registry:
        ...     registry.create_registered_model("churn")
        <RegisteredModel 'churn', no versions>
    """
    where = store_url(url)
    root = artifacts_url(where, artifacts)
    return Registry(
        open_store(
            where, database_connections=connection_limit(database_connections), create=create
        ),
        artifacts=None if root is None else open_artifacts(root),
        url=where,
        public_artifacts_url=public_artifacts_url,
        local_sources=local_sources,
        local_source_root=None if local_source_root is None else Path(local_source_root).absolute(),
        # A server opens no place that somebody's version names.
        foreign=_foreign_sources(where) if local_sources else None,
        gates=gates,
    )


def _foreign_sources(store: str) -> ForeignSources:
    is_server = _scheme(store) in ("http", "https")
    return ForeignSources(open_artifacts=open_artifacts, tracking_uri=store if is_server else None)


def _own_artifacts(store: str) -> str | None:
    path, _, query = store.partition("://")[2].partition("?")
    match _scheme(store).partition("+")[0]:
        case "sqlite" if path.startswith("/") and path != "/:memory:":
            return str(Path(path[1:]).parent / "registry-artifacts")
        case "s3":
            return f"s3://{path.rstrip('/')}/artifacts" + (f"?{query}" if query else "")
    return None


@attrs.frozen(kw_only=True)
class StoreRevision:
    """The revision of a database's schema, None before there is one, and the one needed."""

    current: str | None
    head: str


def upgrade_store(url: str) -> None:
    """Bring the schema of a database to the revision that this release needs.

    Safe to repeat.

    Raises:
        UnsupportedBackendError: the store at this URL has no schema.

    Example:
        >>> upgrade_store("sqlite:///registry.db")
    """
    _schema(url).upgrade(url)


def store_revision(url: str) -> StoreRevision:
    """Return the revision of a database's schema.

    Raises:
        UnsupportedBackendError: the store at this URL has no schema.

    Example:
        >>> upgrade_store("sqlite:///registry.db")
        >>> revision = store_revision("sqlite:///registry.db")
        >>> revision.current == revision.head
        True
    """
    schema = _schema(url)
    return StoreRevision(current=schema.current(url), head=schema.head())


def _schema(url: str) -> ModuleType:
    scheme = _scheme(url)
    backend = _backend(scheme)
    if backend is None:
        _third_party(scheme, url)
    if backend is None or backend.target != _SQL:
        raise UnsupportedBackendError(
            f"Only SQL databases have a schema; the store '{scheme}:' needs no upgrade."
        )
    return _module(scheme, backend)


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower() if ":" in url else ""


def _backend(scheme: str) -> Backend | None:
    dialect, plus, _ = scheme.partition("+")
    backend = BACKENDS.get(dialect)
    return None if plus and backend is not None and backend.target != _SQL else backend


def _opener(url: str) -> Callable[[str], Store]:
    scheme = _scheme(url)
    backend = _backend(scheme)
    if backend is None:
        return cast("Callable[[str], Store]", _third_party(scheme, url).load())
    return cast("Callable[[str], Store]", _function(scheme, backend))


def _function(scheme: str, backend: Backend) -> Callable[[str], object]:
    function = getattr(_module(scheme, backend), backend.target.partition(":")[2])
    return cast("Callable[[str], object]", function)


def _module(scheme: str, backend: Backend) -> ModuleType:
    try:
        return importlib.import_module(backend.target.partition(":")[0])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("registry_core"):
            raise
        raise BackendNotInstalledError(
            f"'{scheme}:' needs the module '{error.name}', which is not installed: "
            f"pip install 'registry-core[{backend.extra}]'"
        ) from error


def _third_party(scheme: str, url: str) -> EntryPoint:
    from importlib.metadata import entry_points  # noqa: PLC0415 slow, and rarely needed

    entries = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if scheme not in entries:
        known = ", ".join(f"{name}:" for name in sorted({*BACKENDS, *entries}))
        raise UnknownBackendError(
            f"No backend answers to the store URL '{redacted(url)}'. "
            f"{_proposal(url)}Known schemes: {known}"
        )
    return entries[scheme]


def _proposal(url: str) -> str:
    """What somebody probably means who has written a path."""
    if not url or ":" in url or redacted(url) != url:
        return ""
    file = f"{url.rstrip('/')}/registry.db" if Path(url).is_dir() else url
    return f"Did you mean sqlite:///{file}? "
