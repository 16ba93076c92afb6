"""How many elements a JSON text has, before it becomes objects.

Strategy: three bytes of `{},` become an object of 64 bytes and more, so a body that was let in for
its size may still fill the memory. Every element follows one of three characters, which are counted
where they are, in C. That finds too many, since they may be inside of texts: so where it finds more
than there may be, texts are skipped and the rest is counted again.
"""

from __future__ import annotations

import json

_BEFORE_ELEMENTS = b",[{"
"""Each element is the first one of its list or object, or comes after a comma."""

_QUOTATION_MARKS = 4
"""Around the name and around the value of an element."""


def has_more_elements(encoded: bytes, most: int) -> bool:
    """Return whether a JSON text has more than `most` items of lists and members of objects.

    Of what is not JSON, it may be either.
    """
    return _upper_bound(encoded) > most and _has_more_outside_texts(_as_utf8(encoded), most)


def _upper_bound(encoded: bytes) -> int:
    return len(encoded) - len(encoded.translate(None, _BEFORE_ELEMENTS))


def _has_more_outside_texts(encoded: bytes, most: int) -> bool:
    if b"\\" in encoded:
        encoded = encoded.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of which the outermost value, in no list or object, may be one more text.
    most_marks = _QUOTATION_MARKS * (most + 1)
    # Every other piece is a text, beginning with the second one.
    pieces = encoded.split(b'"', most_marks + 1)
    return len(pieces) > most_marks + 1 or sum(map(_upper_bound, pieces[::2])) > most


def _as_utf8(encoded: bytes) -> bytes:
    """The same text; in UTF-16 and UTF-32 a byte of a character may look like a quotation mark."""
    encoding = json.detect_encoding(encoded)
    if encoding.startswith("utf-8"):
        return encoded
    return encoded.decode(encoding, "replace").encode("utf-8", "replace")
