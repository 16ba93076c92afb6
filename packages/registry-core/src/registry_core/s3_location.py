"""An `s3://` URL, and the client that speaks to what it names.

Shared by the store that keeps metadata in a bucket and the one that keeps artifacts there.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs
import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.utils import parse_timestamp

from registry_core.credentials import check_token
from registry_core.errors import BackendError, InvalidUrlError
from registry_core.redaction import parameter_name, redacted

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT_SECONDS = 2.0
"""Seconds to reach a server; a bucket that is further away than this is not usable."""

_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
)
"""Variables that the SDK reads as they are: with a line break behind it, a secret signs nothing."""

POOL_CONNECTIONS = 48
"""Connections kept open: parallel reads of a search, and the threads of a server beside them."""


@attrs.frozen(kw_only=True)
class Purpose:
    """How patient a client is, by what it moves."""

    attempts: int
    """How often one request is sent."""
    read_timeout_seconds: float
    """Seconds of silence before a reply counts as lost."""


METADATA = Purpose(attempts=1, read_timeout_seconds=8.0)
"""A repeated conditional PUT can fail on its own success: only its caller may repeat it. The
timeout is above what throttled S3 takes to refuse."""

ARTIFACTS = Purpose(attempts=5, read_timeout_seconds=60.0)
"""Large parts, written without a condition or to a key that nobody else writes."""

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Location:
    """What an `s3://` URL says. Credentials are never part of it."""

    bucket: str
    prefix: str
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    path_style: bool | None = None
    """None leaves the choice to the SDK: path style for an address or a dotted bucket name."""
    anonymous: bool = False
    public_endpoint_url: str | None = None
    """Where clients reach the bucket, for presigned URLs; None is `endpoint_url`."""
    sse_kms_key_id: str | None = None
    """The key of AWS KMS, or an alias of it, that what is written is encrypted with."""

    def __str__(self) -> str:
        where = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{where} at {self.endpoint_url}" if self.endpoint_url else where


OPTIONS = ("endpoint_url", "region", "profile", "path_style", "anonymous")
"""Of every `s3://` URL."""

ARTIFACT_OPTIONS = ("public_endpoint_url", "sse_kms_key_id")
"""Of the URL of an artifact root: they are about objects that clients get at."""


def parse(url: str, *, environ: Mapping[str, str], of_artifacts: bool = False) -> Location:
    """Parse `s3://bucket/prefix?endpoint_url=&region=&profile=&path_style=&anonymous=`.

    The URL of artifacts may have `ARTIFACT_OPTIONS`, too.

    The region falls back to AWS_REGION and AWS_DEFAULT_REGION; the SDK reads the other standard
    variables itself, AWS_ENDPOINT_URL_S3 among them.

    Raises:
        InvalidUrlError: the URL is malformed, has credentials or an unknown option in it.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its words repeat the host, and what is before it.
        raise InvalidUrlError(f"'{redacted(url)}' is not an s3: URL") from None
    if parts.username is not None or "@" in parts.netloc or ":" in parts.netloc:
        raise InvalidUrlError(
            "An s3: URL holds no credentials; give them as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or as a profile"
        )
    if parts.scheme != "s3" or not parts.netloc or parts.fragment:
        raise InvalidUrlError("An s3: URL has the form s3://bucket/prefix?option=value")
    options = _options(parts.query)
    return Location(
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint_url=_endpoint(options, "endpoint_url"),
        region=options.pop("region", None)
        or environ.get("AWS_REGION")
        or environ.get("AWS_DEFAULT_REGION"),
        profile=options.pop("profile", None),
        path_style=_flag(options, "path_style"),
        anonymous=bool(_flag(options, "anonymous")),
        public_endpoint_url=_endpoint(options, "public_endpoint_url") if of_artifacts else None,
        sse_kms_key_id=(options.pop("sse_kms_key_id", None) or None) if of_artifacts else None,
        **_nothing_else(options, of_artifacts=of_artifacts),
    )


def connect(location: Location, purpose: Purpose) -> S3Client:
    """Return a client for the location. Opens no connection yet.

    Raises:
        BackendError: the SDK cannot be configured so, for example because a profile is missing, or
            a request cannot carry the credentials of the environment.
    """
    if not location.anonymous and location.profile is None:
        for variable in _CREDENTIALS:
            check_token(os.environ.get(variable, ""), what=f"The value of {variable}")
    return _configured(lambda: _client(location, purpose))


_STYLES: Mapping[bool | None, Literal["auto", "path", "virtual"]] = {
    None: "auto",
    True: "path",
    False: "virtual",
}


def _client(location: Location, purpose: Purpose) -> S3Client:
    core = botocore.session.Session(
        event_hooks=copy.copy(_shared_handlers()), include_builtin_handlers=False
    )
    core.register_component("data_loader", _shared_loader())
    parsers = core.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    session = boto3.Session(botocore_session=core, profile_name=location.profile)
    client = session.client(
        "s3",
        endpoint_url=location.endpoint_url,
        region_name=location.region or session.region_name or "us-east-1",
        config=Config(
            # Said, because presigned URLs would else have a signature that newer regions refuse.
            signature_version=UNSIGNED if location.anonymous else "s3v4",
            retries={"total_max_attempts": purpose.attempts, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=purpose.read_timeout_seconds,
            max_pool_connections=POOL_CONNECTIONS,
            tcp_keepalive=True,
            # The newer checksum trailers are unknown to many servers that are not Amazon's.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": _STYLES[location.path_style]},
        ),
    )
    client.meta.events.register("before-sign.s3.DeleteObjects", _use_md5)
    return client


def _use_md5(request: AWSRequest, **_: object) -> None:
    # The one request that S3 requires a checksum of. The SDK sends one of the newer ones, for
    # which servers that are not Amazon's still want this.
    for name in [name for name in request.headers if name.lower().startswith(_NEWER_CHECKSUMS)]:
        del request.headers[name]
    body = cast("bytes", request.body)  # Its stub says text.
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()


_NEWER_CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-")
"""How the headers begin that the SDK adds for its own choice of a checksum."""


@functools.cache
def _shared_loader() -> Loader:
    # Reading the SDK's description of S3 is most of what a client costs, and it does not change.
    loader: Loader = botocore.session.Session().get_component("data_loader")
    return loader


@functools.cache
def _shared_handlers() -> HierarchicalEmitter:
    # Registering the SDK's own handlers is most of the rest. A client adds more to a copy.
    handlers = HierarchicalEmitter()
    botocore.session.Session(event_hooks=handlers)
    return handlers


def _timestamp(value: Any) -> datetime:
    # The SDK guesses at formats, which is most of what a listing of a thousand keys costs.
    if isinstance(value, str):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
        with suppress(ValueError):
            return parsedate_to_datetime(value)
    guessed: datetime = parse_timestamp(value)
    return guessed


def _configured(make: Callable[[], T]) -> T:
    try:
        return make()
    except (BotoCoreError, ValueError) as error:
        raise BackendError(f"The bucket cannot be opened: {error}") from error


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in options:
            raise InvalidUrlError(
                f"The option {parameter_name(key, value)} of an s3: URL is given twice"
            )
        options[key] = value
    return options


def _endpoint(options: dict[str, str], option: str) -> str | None:
    value = options.pop(option, None)
    if not value:
        return None
    with suppress(ValueError):  # from a port that is not a number, too
        parts = urlsplit(value)
        is_http = parts.scheme in ("http", "https") and parts.port != 0
        if is_http and parts.hostname and "@" not in value and not parts.query:
            return value
    raise InvalidUrlError(
        f"The option '{option}' of an s3: URL is an http: or https: URL without credentials"
    )


def _flag(options: dict[str, str], option: str) -> bool | None:
    value = options.pop(option, None)
    if value is None:
        return None
    if value.lower() in ("1", "true", "yes"):
        return True
    if value.lower() in ("0", "false", "no"):
        return False
    raise InvalidUrlError(f"The option '{option}' of an s3: URL is 1 or 0")


def _nothing_else(options: Mapping[str, str], *, of_artifacts: bool) -> dict[str, str]:
    if options:
        known = ", ".join(OPTIONS + ARTIFACT_OPTIONS if of_artifacts else OPTIONS)
        about = "" if of_artifacts else "; of an artifact root also " + ", ".join(ARTIFACT_OPTIONS)
        raise InvalidUrlError(
            f"Unknown option {parameter_name(*min(options.items()))} of an s3: URL. Known: "
            f"{known}{about}"
        )
    return {}
