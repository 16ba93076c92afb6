"""Which paths may name an artifact: the one rule that every route, command and store applies.

Strategy: a path is refused unless it is already in its one normal form, so that no two spellings
name one file and nothing below has to normalise. Its transport decodes it exactly once. Somebody
downstream may decode it again (MLflow's client is one of them), so a `%` is a character like others
only while no further decoding leads to another folder. The same goes for other rules that would
read a climb in a name: Unicode's compatibility form, and segments cut at the `;` of parameters, the
`?` of a query or the `#` of a fragment. Every segment is held to the rule, at whatever depth.
"""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from collections.abc import Iterator

from registry_core.errors import InvalidArgumentError

PATH_MAX_LENGTH = 900
"""Bytes of a path in UTF-8. An S3 key ends at 1,024, of which the root's prefix takes some."""

SEGMENT_MAX_LENGTH = 255
"""Bytes of one segment in UTF-8: what common file systems allow."""

RESERVED = ".registry"
"""The folder under an artifact root where manifests are kept; not reachable as an artifact."""

_DECODINGS_MAX = 20
"""How often a path is decoded on trial; one that still changes then is refused. Nobody decodes more
than twice, and each trial reads the whole path."""

_DRIVE = re.compile("[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\Z")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f\\\\]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CUT = re.compile("[;?#]")


def artifact_path(text: str) -> str:
    """Accept the relative path of an artifact or folder: `a/b.txt`; the empty text is the root.

    Raises:
        InvalidArgumentError: `path_problem` has something to say about it.
    """
    if text != "" and path_problem(text) is not None:
        raise InvalidArgumentError("Invalid path")
    return text


def file_path(text: str) -> str:
    """As `artifact_path`, for the path of a file: not the root."""
    if text == "":
        raise InvalidArgumentError("Invalid path")
    return artifact_path(text)


def path_problem(text: str) -> str | None:
    """Return why a text cannot be the path of an artifact, to follow its name; None if it can."""
    if _SURROGATE.search(text) is not None:
        return "is not UTF-8"
    if len(text.encode()) > PATH_MAX_LENGTH:
        return f"is longer than {PATH_MAX_LENGTH} bytes"
    if unicodedata.normalize("NFC", text) != text:
        return "is not in Unicode's composed form"
    problems = (_problem_of_spelling(spelling) for spelling in _spellings(text))
    return next((problem for problem in problems if problem is not None), None) or (
        None if _keeps_folders(text) else "means another path when it is decoded"
    )


def _spellings(text: str) -> Iterator[str]:
    """The text, and what it becomes when it is decoded again and again."""
    for _ in range(_DECODINGS_MAX):
        yield text
        if (decoded := urllib.parse.unquote(text)) == text:
            return
        text = decoded


def _keeps_folders(text: str) -> bool:
    *_, last = _spellings(text)
    return urllib.parse.unquote(last) == last and last.count("/") == text.count("/")


def _problem_of_spelling(text: str) -> str | None:
    if _FORBIDDEN.search(text) is not None:
        return "has a backslash or a control character"
    *folders, _ = segments = text.split("/")
    if segments[0].casefold() == RESERVED:
        return f"is in '{RESERVED}', which the registry keeps for itself"
    if any(_SCHEME.match(folder) for folder in folders):
        return "has a folder that reads like the scheme of a URL"
    problems = (_problem_of_segment(segment) for segment in segments)
    return next((problem for problem in problems if problem is not None), None)


def _problem_of_segment(segment: str) -> str | None:
    compatible = unicodedata.normalize("NFKC", segment)
    if len(segment.encode(errors="replace")) > SEGMENT_MAX_LENGTH:
        return f"has a part that is longer than {SEGMENT_MAX_LENGTH} bytes"
    if _DRIVE.match(segment):
        return "has a part that reads like a drive of Windows"
    if "/" in compatible or _CUT.split(compatible, maxsplit=1)[0].strip() in ("", ".", ".."):
        return (
            "has a part that is empty, '.' or '..', or is one to a program that cuts names at ';', "
            "'?' and '#' or takes characters for others that look alike"
        )
    return None
