"""Names as parts of keys, paths and URIs: one rule, in two alphabets.

A key may hold less than a name may: so each byte that could mean something in a key is escaped, and
past a length the key keeps the head of the encoded name and ends in a digest of all of it. Two
names never share a key, most keys can be read, and whatever has the key also holds the true name.

The alphabets differ because the keys meet different readers. A document's key is seen in a bucket
alone, so it is percent-encoded, as people know it. A folder of files is part of the source of a
version and passes clients and proxies that decode percent signs a second time: nothing in it has a
meaning to any of them. Both are formats on disk: what they give for a name must not change.
"""

from __future__ import annotations

import hashlib
import re

import attrs


@attrs.frozen(kw_only=True)
class NameEncoding:
    """How names are written in one kind of key."""

    escape: str
    """Begins an escaped byte, and is followed by its two hexadecimal digits."""

    special: re.Pattern[str]
    """The characters that are escaped."""

    longest: int
    """Characters of an encoded name that are kept as they are."""

    head: int
    """Characters of a longer one that stay before its digest."""

    has_whole_escapes: bool
    """Whether an escape that the head would cut is left out of it, so that it can be decoded."""

    mark: str
    """Stands before a digest, and nowhere in an encoded name."""

    digest_digits: int
    """Hexadecimal digits of the SHA-256 of the name."""

    def encode(self, name: str) -> str:
        """Return the part of a key that stands for a name: ASCII, no `/`."""
        encoded = self.special.sub(self._escaped, name)
        if len(encoded) <= self.longest:
            return encoded
        head = encoded[: self.head]
        if self.has_whole_escapes:
            head = re.sub(f"{re.escape(self.escape)}[0-9A-F]?\\Z", "", head)
        digest = hashlib.sha256(name.encode()).hexdigest()[: self.digest_digits]
        return f"{head}{self.mark}{digest}"

    def _escaped(self, match: re.Match[str]) -> str:
        return "".join(f"{self.escape}{byte:02X}" for byte in match.group().encode())


DOCUMENT_NAMES = NameEncoding(
    escape="%",
    special=re.compile(r"[^A-Za-z0-9_.\-]|\.(?=json)"),
    longest=200,
    head=120,
    has_whole_escapes=True,
    mark="~",
    digest_digits=64,
)
"""For the key of a document, `<name>.json`. No such key begins another one, which some services
cannot hold: so a name's own `.json` is written `%2Ejson`, and `~` occurs before a digest alone."""

FOLDER_NAMES = NameEncoding(
    escape="~",
    special=re.compile(r"[^A-Za-z0-9_\-]"),
    longest=200,
    head=150,
    has_whole_escapes=False,
    mark="~~",
    digest_digits=32,
)
"""For one segment of the path of a version's files: letters, digits, `_`, `-` and `~XX` bytes."""
