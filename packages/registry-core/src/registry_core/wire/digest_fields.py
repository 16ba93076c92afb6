"""SHA-256 digests in the headers `Content-Digest` and `Repr-Digest` (RFC 9530)."""

from __future__ import annotations

from base64 import b64decode, b64encode

_SHA256_BYTES = 32


def digest_field(sha256: str) -> str:
    """Return a digest, given in hex, as such a header has it.

    Example:
        >>> digest_field("00" * 32)
        'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    return f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode()}:"


def sha256_of_field(field: str) -> str | None:
    """Return the SHA-256 in such a header, in hex; None if it has digests by other algorithms only.

    Raises:
        ValueError: what it has as one is none.
    """
    for item in field.split(","):
        algorithm, _, value = item.strip().partition("=")
        if algorithm.lower() != "sha-256":
            continue
        digest = b64decode(value.strip(":"), validate=True)
        if len(digest) != _SHA256_BYTES or value != f":{value.strip(':')}:":
            raise ValueError(f"no SHA-256: {value!r}")
        return digest.hex()
    return None
