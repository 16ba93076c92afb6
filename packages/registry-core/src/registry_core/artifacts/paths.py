"""Which paths may name an artifact: the one rule that every route, command and store applies.

Strategy: a path is refused unless it is already in its one normal form, so that no two spellings
name one file and nothing below has to normalise. Its transport decodes it exactly once; a path
that decoding once more would change is refused as well, because somebody downstream (MLflow's
client among them) may do that. So is one that other rules would read as a climb: Unicode's
compatibility form, and segments cut at the `;` of parameters or the `?` of a query.
"""

from __future__ import annotations

import re
import unicodedata
import urllib.parse

from registry_core.errors import InvalidArgumentError

PATH_MAX_LENGTH = 900
"""Bytes of a path in UTF-8. An S3 key ends at 1,024, of which the root's prefix takes some."""

SEGMENT_MAX_LENGTH = 255
"""Bytes of one segment in UTF-8: what common file systems allow."""

RESERVED = ".registry"
"""The folder under an artifact root where manifests are kept; not reachable as an artifact."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""A drive is one, too."""

_FORBIDDEN = re.compile("[\x00-\x1f\x7f\\\\#\ud800-\udfff]")
_PARAMETERS = re.compile("[;?]")


def artifact_path(text: str) -> str:
    """Accept the relative path of an artifact or folder: `a/b.txt`; the empty text is the root.

    Raises:
        InvalidArgumentError: the path is absolute, climbs, is not in normal form, or holds a
            control character, a backslash or `#`.
    """
    if text != "" and not _is_normal(text):
        raise InvalidArgumentError("Invalid path")
    return text


def file_path(text: str) -> str:
    """As `artifact_path`, for the path of a file: not the root."""
    if text == "":
        raise InvalidArgumentError("Invalid path")
    return artifact_path(text)


def _is_normal(text: str) -> bool:
    segments = text.split("/")
    return (
        _FORBIDDEN.search(text) is None
        and _SCHEME.match(text) is None
        and len(text.encode()) <= PATH_MAX_LENGTH
        and unicodedata.normalize("NFC", text) == text
        and urllib.parse.unquote(text) == text
        and segments[0].casefold() != RESERVED
        and all(_is_segment(segment) for segment in segments)
    )


def _is_segment(segment: str) -> bool:
    compatible = unicodedata.normalize("NFKC", segment)
    return (
        len(segment.encode()) <= SEGMENT_MAX_LENGTH
        and "/" not in compatible
        and _PARAMETERS.split(compatible, maxsplit=1)[0].strip() not in ("", ".", "..")
    )
