"""Digests in headers, as RFC 9530 writes them."""

from __future__ import annotations

from base64 import b64encode

import pytest

from registry_core.wire.digest_fields import digest_field, sha256_of_field, xxh3_of_field

SHA256, XXH3 = "0a" * 32, "0b" * 16


def item(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}=:{b64encode(digest).decode()}:"


def test_each_digest_is_read_from_beside_others() -> None:
    field = digest_field(SHA256, xxh3=XXH3)
    assert field == ", ".join((item("sha-256", b"\n" * 32), item("xxh3-128", b"\v" * 16)))
    for each in (field, f"md5=:AAAA:,{field.replace(', ', ',')}"):
        assert (sha256_of_field(each), xxh3_of_field(each)) == (SHA256, XXH3)


def test_a_digest_may_be_alone_or_absent() -> None:
    assert digest_field(SHA256) == item("sha-256", b"\n" * 32)
    assert xxh3_of_field(digest_field(SHA256)) is None
    assert sha256_of_field(item("XXH3-128", b"\v" * 16)) is None
    assert xxh3_of_field(item("XXH3-128", b"\v" * 16)) == XXH3
    assert sha256_of_field("") is None


@pytest.mark.parametrize(
    ("read", "algorithm", "size"),
    [(sha256_of_field, "sha-256", 32), (xxh3_of_field, "xxh3-128", 16)],
)
def test_what_is_not_a_digest_of_its_algorithm_is_refused(read, algorithm, size) -> None:
    good = item(algorithm, b"x" * size)
    for bad in (
        item(algorithm, b"x" * (size - 1)),
        item(algorithm, b"x" * (size + 1)),
        good.replace(":", ""),
        good[:-1],
        f"{algorithm}=:*{good[len(algorithm) + 3 :]}",
        f"{algorithm}=",
    ):
        with pytest.raises(ValueError, match=r"digest|base64|padding"):
            read(bad)
