"""What may be the source of a model version (contract 3.6): data, which nothing here opens.

A source is a URI, kept as it is given. Two kinds are treated apart: local paths, which mean
something only on the machine that has them, and the placeholders of prompts, which have no bytes.
"""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from pathlib import Path

from registry_core.errors import InvalidArgumentError
from registry_core.uris import SCHEME

PROMPT_PLACEHOLDERS = frozenset({"dummy-source", "prompt-template"})
"""The only sources of a prompt version; MLflow's client sends one of them (contract 5)."""

_LOGGED_MODEL = re.compile(rf"{SCHEME}m-[^/@]+\Z")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", ".")


def is_local(source: str) -> bool:
    """Return whether a source is a path on some machine: no scheme, or `file:` without a host.

    Raises:
        InvalidArgumentError: the source is not a URI, or names a file on another host.
    """
    parts = _split(source)
    if parts.scheme not in ("", "file"):
        return False
    if parts.scheme == "file" and parts.netloc and not parts.netloc.startswith(_LOCAL_HOSTS):
        raise InvalidArgumentError(
            f"{source} is not a valid remote uri. For remote access on windows, please consider "
            "using a different scheme such as SMB (e.g. smb://<hostname>/<path>)."
        )
    return True


def local_path(source: str) -> Path:
    """Return the path that a local source names."""
    from urllib.request import url2pathname  # noqa: PLC0415 slow, and rarely needed

    parts = _split(source)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(source)


def is_logged_model(source: str) -> bool:
    """Return whether a source is `models:/m-<id>`, which only a tracking server can resolve."""
    return _LOGGED_MODEL.match(source) is not None


def check_prompt(source: str) -> None:
    """Accept the source of a prompt version."""
    if source not in PROMPT_PLACEHOLDERS:
        raise InvalidArgumentError(
            f"Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder."
        )


def check_remote(source: str) -> None:
    """Accept a URI that names something by an absolute path without `.` and `..`, however encoded.

    Query and fragment are not looked at: they are never part of a path.
    """
    decoded = _decode(source)
    path = re.sub("/+", "/", _split(decoded, original=source).path.rstrip("/"))
    climbs = ".." in decoded.split("?", 1)[0].split("#", 1)[0].split("/")
    normal = path.startswith("/") and posixpath.normpath(path) == path
    if climbs or "\x00" in decoded or not normal:
        raise InvalidArgumentError(
            f"Invalid model version source: '{source}'. If supplying a source as an http, https, "
            "local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be "
            "provided without relative path references present. Please provide an absolute path."
        )


def check_local(source: str, *, root: Path | None) -> None:
    """Accept a path of this disk from a caller on another machine: only in `root`, if any.

    The path is absolute, in its normal form, and no link leads out of `root`.
    """
    path = local_path(source)
    if root is None or not _is_inside(path, root):
        raise InvalidArgumentError(
            f"Invalid model version source: '{source}'. To use a local path as a model version "
            "source, the run_id request parameter has to be specified and the local path has to be "
            "contained within the artifact directory of the run specified by the run_id."
        )


def _is_inside(path: Path, root: Path) -> bool:
    if "\x00" in str(path) or ".." in path.parts:
        return False
    real = root.resolve()
    inside = any(path.is_relative_to(base) and path != base for base in (root, real))
    try:
        return inside and path.resolve().is_relative_to(real)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _decode(source: str) -> str:
    # Until nothing changes: each round shortens the text, so this ends.
    while (decoded := urllib.parse.unquote_plus(source)) != source:
        source = decoded
    return source


def _split(source: str, *, original: str | None = None) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(source)
    except ValueError:
        raise InvalidArgumentError(
            f"Invalid model version source: '{original or source}'. It is not a valid URI."
        ) from None
