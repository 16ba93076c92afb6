"""Digests in the headers `Content-Digest` and `Repr-Digest` (RFC 9530)."""

from __future__ import annotations

from base64 import b64decode, b64encode

_SIZES = {"sha-256": 32, "xxh3-128": 16}
"""Bytes of the digests by each algorithm. The second is not registered; what does not know it
ignores it."""


def digest_field(sha256: str, *, xxh3: str | None = None) -> str:
    """Return a digest, given in hex, as such a header has it; a second one is added to it.

    Example:
        >>> digest_field("00" * 32)
        'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    items = [_item("sha-256", sha256)]
    if xxh3 is not None:
        items.append(_item("xxh3-128", xxh3))
    return ", ".join(items)


def sha256_of_field(field: str) -> str | None:
    """Return the SHA-256 in such a header, in hex; None if it has digests by other algorithms only.

    Raises:
        ValueError: what it has as one is none.
    """
    return _digest_of(field, "sha-256")


def xxh3_of_field(field: str) -> str | None:
    """Return the XXH3 of 128 bits in such a header, as `sha256_of_field`."""
    return _digest_of(field, "xxh3-128")


def _item(algorithm: str, digest: str) -> str:
    return f"{algorithm}=:{b64encode(bytes.fromhex(digest)).decode()}:"


def _digest_of(field: str, algorithm: str) -> str | None:
    for item in field.split(","):
        name, _, value = item.strip().partition("=")
        if name.lower() != algorithm:
            continue
        digest = b64decode(value.strip(":"), validate=True)
        if len(digest) != _SIZES[algorithm] or value != f":{value.strip(':')}:":
            raise ValueError(f"no digest by {algorithm}: {value!r}")
        return digest.hex()
    return None
