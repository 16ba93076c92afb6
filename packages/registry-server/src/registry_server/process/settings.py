"""The settings of a server: one frozen value, from flags and the environment, read once.

One table lists every setting with its flag, its environment variables and its meaning. A flag
beats the environment, the environment beats the default.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from registry_core import store_url
from registry_core.backends import CONNECTIONS_VARIABLE, MOST_DATABASE_CONNECTIONS
from registry_core.webhooks import KEY_VARIABLES
from registry_server.process.setting_values import (
    Network,
    address,
    choice,
    flag,
    hosts,
    networks,
    number,
    schemes,
    url,
    words,
)

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")

DIRECT_OFF, DIRECT_ON, DIRECT_ONLY = DIRECT_TRANSFERS = ("off", "on", "only")
"""Whether artifacts may pass between a client and a bucket, past the server, by presigned URLs:
not at all, if the client likes, or in no other way."""


class SettingsError(Exception):
    """A setting that cannot be used; the message is for the user who starts the server."""


@attrs.frozen(kw_only=True)
class Settings:
    """How a server runs. `OPTIONS` says what each field means."""

    store: str = attrs.field(default=store_url(environ={}), repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 8
    database_connections: int = 16
    tls_cert: str | None = None
    tls_key: str | None = None
    metrics_address: tuple[str, int] | None = None
    log_level: str = "info"
    log_format: str = "text"
    access_log: bool = False
    auth_file: str | None = None
    access_file: str | None = None
    session_key: str | None = attrs.field(default=None, repr=False)
    allow_unauthenticated: bool = False
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    public_url: str | None = None
    artifacts: str | None = attrs.field(default=None, repr=False)
    direct_transfers: str = DIRECT_OFF
    local_source_root: str | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    max_connections: int = 0
    max_transfers: int = 128
    max_waiting_bytes: int = 64 * 1024 * 1024
    head_seconds: int = 20
    keep_alive_seconds: int = 75
    stall_seconds: int = 30
    min_bytes_per_second: int = 1_024
    shutdown_seconds: int = 30
    no_pages: bool = False
    read_only_pages: bool = False
    webhook_schemes: tuple[str, ...] = ("https",)
    webhook_private_addresses: bool = False
    webhook_secret_key: str | None = attrs.field(default=None, repr=False)
    webhook_cache_seconds: int = 5
    webhook_timeout_seconds: int = 30
    webhook_retries: int = 3
    webhook_threads: int = 10

    @property
    def known_hosts(self) -> tuple[str, ...]:
        """The names, beside near ones, by which requests may call the server."""
        public = urllib.parse.urlsplit(self.public_url or "").hostname
        return (*self.allowed_hosts, public.rstrip(".")) if public else self.allowed_hosts

    @property
    def public_origin(self) -> str | None:
        """The origin of the public URL, as browsers write it; None if the settings name no URL."""
        if self.public_url is None:
            return None
        parts = urllib.parse.urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower()

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the server by https alone, so that cookies may ask for it."""
        return self.tls_cert is not None or (self.public_url or "").startswith("https:")

    @property
    def is_local(self) -> bool:
        """Whether only this machine is served: no address or name of another kind is mentioned.

        A server that asks for credentials has callers elsewhere, through a proxy if it listens on
        loopback.
        """
        named = (self.host, *self.known_hosts)
        asks = self.auth_file is not None or self.access_file is not None
        return not asks and all(map(is_loopback, named))


def is_loopback(host: str) -> bool:
    """Return whether a host, as it is written, is this machine for every client that names it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@attrs.frozen
class Option:
    """One setting: its field, its environment variables (the first wins), its meaning."""

    field: str
    variables: tuple[str, ...]
    help: str
    parse: Callable[[str], Any] = str
    hidden: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.field.replace("_", "-")


OPTIONS: Sequence[Option] = (
    Option(
        "store",
        ("REGISTRY_STORE", "DATABASE_URL"),
        "URL of the store: sqlite:///registry.db, postgresql://..., s3://bucket/prefix, memory:",
    ),
    Option("host", ("HOST",), "address to listen on"),
    Option("port", ("PORT",), "port to listen on; 0 takes a free one", number(0, 65_535)),
    Option("workers", ("REGISTRY_WORKERS",), "worker processes", number(1, 256)),
    Option(
        "threads",
        ("REGISTRY_THREADS",),
        "threads of each worker for reads, as many for changes and half as many for searches",
        number(1, 256),
    ),
    Option(
        "database_connections",
        (CONNECTIONS_VARIABLE,),
        "most connections of each worker to a PostgreSQL server",
        number(1, MOST_DATABASE_CONNECTIONS),
    ),
    Option(
        "tls_cert",
        ("REGISTRY_TLS_CERT",),
        "file of the certificate, and of those between it and its root, to speak TLS with",
    ),
    Option("tls_key", ("REGISTRY_TLS_KEY",), "file of the certificate's private key"),
    Option(
        "metrics_address",
        ("REGISTRY_METRICS_ADDRESS",),
        "address and port, as 127.0.0.1:9090, at which /metrics answers without credentials, and "
        "nowhere else",
        address,
    ),
    Option(
        "log_level",
        ("LOG_LEVEL",),
        f"least severe log level: {', '.join(LOG_LEVELS)}",
        choice(*LOG_LEVELS),
    ),
    Option(
        "log_format",
        ("REGISTRY_LOG_FORMAT",),
        "form of the log: text for people, or json, one object a line",
        choice(*LOG_FORMATS),
    ),
    Option("access_log", ("REGISTRY_ACCESS_LOG",), "log every request, too", flag),
    Option(
        "auth_file",
        ("REGISTRY_AUTH_FILE",),
        "file of name:secret lines; users who are not in it are refused",
    ),
    Option(
        "access_file",
        ("REGISTRY_ACCESS_FILE",),
        "TOML file that says who may do what; read anew when it changes",
    ),
    Option(
        "session_key",
        ("REGISTRY_SESSION_KEY",),
        "secret that servers share, so that who has signed in to one is signed in to all",
        hidden=True,
    ),
    Option(
        "allow_unauthenticated",
        ("REGISTRY_ALLOW_UNAUTHENTICATED",),
        "listen on a public address without an access file",
        flag,
    ),
    Option(
        "allowed_hosts",
        ("REGISTRY_ALLOWED_HOSTS",),
        "further names in Host headers, separated by commas; * inside a name is a wildcard",
        hosts,
    ),
    Option(
        "allowed_origins",
        ("REGISTRY_ALLOWED_ORIGINS",),
        "origins whose pages may call, separated by commas; * is any",
        words,
    ),
    Option(
        "trusted_proxies",
        ("REGISTRY_TRUSTED_PROXIES",),
        "addresses or networks of proxies, separated by commas, whose X-Forwarded-For is believed",
        networks,
    ),
    Option(
        "public_url",
        ("REGISTRY_PUBLIC_URL",),
        "the URL under which clients reach this server",
        url,
    ),
    Option("artifacts", ("REGISTRY_ARTIFACTS",), "URL of the artifact root"),
    Option(
        "direct_transfers",
        ("REGISTRY_DIRECT_TRANSFERS",),
        "whether artifacts pass between clients and a bucket by presigned URLs: off, on, or only, "
        "which lets none through the server",
        choice(*DIRECT_TRANSFERS),
    ),
    Option(
        "local_source_root",
        ("REGISTRY_LOCAL_SOURCE_ROOT",),
        "directory of this machine that sources may name; what is in it, callers can then read",
    ),
    Option(
        "max_body_bytes",
        ("REGISTRY_MAX_BODY_BYTES",),
        "longest request body of an operation with tags or a filter, in bytes; 2 MiB of others",
        number(1_024, 2**40),
    ),
    Option(
        "max_connections",
        ("REGISTRY_MAX_CONNECTIONS",),
        "connections of each worker; 0 is as many as it may open files for, and 4096 at most",
        number(0, 2**20),
    ),
    Option(
        "max_transfers",
        ("REGISTRY_MAX_TRANSFERS",),
        "uploads of artifacts that each worker takes at a time, and as many downloads",
        number(1, 2**16),
    ),
    Option(
        "max_waiting_bytes",
        ("REGISTRY_MAX_WAITING_BYTES",),
        "bytes of requests and answers of each worker that may wait for slow clients",
        number(2**20, 2**40),
    ),
    Option(
        "head_seconds",
        ("REGISTRY_HEAD_SECONDS",),
        "how long a client may take to send the head of a request, in seconds",
        number(1, 3_600),
    ),
    Option(
        "keep_alive_seconds",
        ("REGISTRY_KEEP_ALIVE_SECONDS",),
        "how long a connection may wait for its next request, in seconds",
        number(1, 3_600),
    ),
    Option(
        "stall_seconds",
        ("REGISTRY_STALL_SECONDS",),
        "over how long --min-bytes-per-second is measured, in seconds",
        number(1, 3_600),
    ),
    Option(
        "min_bytes_per_second",
        ("REGISTRY_MIN_BYTES_PER_SECOND",),
        "how fast a client has to send a body and to take an answer, in bytes a second",
        number(1, 2**30),
    ),
    Option(
        "shutdown_seconds",
        ("REGISTRY_SHUTDOWN_SECONDS",),
        "how long requests in flight may take after SIGTERM, in seconds",
        number(0, 3_600),
    ),
    Option(
        "no_pages",
        ("REGISTRY_NO_PAGES",),
        "serve the API alone, and no pages for browsers",
        flag,
    ),
    Option(
        "read_only_pages",
        ("REGISTRY_READ_ONLY_PAGES",),
        "have the pages show, and change nothing",
        flag,
    ),
    Option(
        "webhook_schemes",
        ("REGISTRY_WEBHOOK_SCHEMES", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES"),
        "schemes that URLs of webhooks may have, separated by commas",
        schemes,
    ),
    Option(
        "webhook_private_addresses",
        ("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"),
        "let webhooks reach loopback and private addresses",
        flag,
    ),
    Option(
        "webhook_secret_key",
        KEY_VARIABLES,
        "key that secrets of webhooks are encrypted with",
        hidden=True,
    ),
    Option(
        "webhook_cache_seconds",
        ("REGISTRY_WEBHOOK_CACHE_SECONDS", "MLFLOW_WEBHOOK_CACHE_TTL"),
        "how long a worker may not know of a webhook that another one changed, in seconds",
        number(0, 3_600),
    ),
    Option(
        "webhook_timeout_seconds",
        ("REGISTRY_WEBHOOK_TIMEOUT_SECONDS", "MLFLOW_WEBHOOK_REQUEST_TIMEOUT"),
        "how long the receiver of a webhook may take to answer, in seconds",
        number(1, 300),
    ),
    Option(
        "webhook_retries",
        ("REGISTRY_WEBHOOK_RETRIES", "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES"),
        "how often a delivery that failed is tried again",
        number(0, 10),
    ),
    Option(
        "webhook_threads",
        ("REGISTRY_WEBHOOK_THREADS", "MLFLOW_WEBHOOK_DELIVERY_MAX_WORKERS"),
        "threads of each worker that deliver to webhooks",
        number(1, 256),
    ),
)
"""Every setting. Hidden is a key that belongs into the environment and on no command line."""
