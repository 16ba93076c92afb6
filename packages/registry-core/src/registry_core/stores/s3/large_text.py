"""Texts that are too large for a document: where a document says so, and where they are.

A `LargeText` stands in a document for a text that lies beside it. It is a `str`, so that the pure
functions of `registry_core.documents` carry it along without looking, and it begins with
NUL, which no real text may contain, so that it equals none.
"""

from __future__ import annotations

import hashlib

INLINE_MAX_BYTES = 4096
"""Bytes of UTF-8 that a document holds itself. Every write of a model moves its whole document."""

_MAX_BYTES_PER_CHARACTER = 4


class LargeText(str):
    """A reference to a text: NUL, the model's id, the value's id, its size in bytes."""

    __slots__ = ()

    @classmethod
    def to(cls, *, model_id: str, value_id: str, size: int) -> LargeText:
        """Return a reference to the text of that id."""
        return cls(f"\x00{model_id}\x00{value_id}\x00{size}")

    @property
    def model_id(self) -> str:
        """The model that the text belongs to."""
        return self.split("\x00")[1]

    @property
    def value_id(self) -> str:
        """The digest of the text, `-`, and the operation that wrote it."""
        return self.split("\x00")[2]

    @property
    def size(self) -> int:
        """Bytes of the text in UTF-8."""
        return int(self.split("\x00")[3])

    @property
    def digest(self) -> str:
        """The SHA-256 of the text in UTF-8, in hexadecimal digits."""
        return self.value_id.partition("-")[0]


def is_large(text: str | None) -> bool:
    """Return whether a text is to lie beside the document."""
    if text is None or len(text) <= INLINE_MAX_BYTES // _MAX_BYTES_PER_CHARACTER:
        return False
    return not isinstance(text, LargeText) and len(text.encode()) > INLINE_MAX_BYTES


def stands_for(reference: str, text: str) -> bool:
    """Return whether this is a reference to that text."""
    if not isinstance(reference, LargeText) or not is_large(text):
        return False
    return reference.digest == digest(text.encode())


def digest(body: bytes) -> str:
    """Return the digest that names a text."""
    return hashlib.sha256(body).hexdigest()
