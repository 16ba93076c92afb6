"""Manifests: canonical, and refused when they are damaged."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core.artifacts import Manifest, ManifestFile, make_manifest, parse_manifest
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from services.examples import examples

ZERO = "0" * 64


def file(path: str, *, size: int = 1, sha256: str = ZERO) -> ManifestFile:
    return ManifestFile(path=path, size=size, sha256=sha256)


names = st.text(alphabet="abc.é-", min_size=1, max_size=3).filter(lambda name: name.strip("."))
files = st.builds(
    file,
    st.lists(names, min_size=1, max_size=3).map("/".join),
    size=st.integers(0, 2**50),
    sha256=st.text(alphabet="0123456789abcdef", min_size=64, max_size=64),
)


def manifest_of(found: list[ManifestFile]) -> Manifest | None:
    try:
        return make_manifest(found)
    except InvalidArgumentError:
        return None


@settings(max_examples=examples(100))
@given(st.lists(files, min_size=1, max_size=6), st.randoms())
def test_manifest_survives_and_is_canonical(found: list[ManifestFile], random) -> None:
    """The same files give the same bytes in any order, and the bytes give the files."""
    manifest = manifest_of(found)
    if manifest is None:
        return
    random.shuffle(found)
    again = make_manifest(found)
    assert again.to_json() == manifest.to_json()
    assert parse_manifest(manifest.to_json()) == manifest
    assert [each.path for each in manifest.files] == sorted(each.path for each in found)
    assert manifest.size == sum(each.size for each in found)


@settings(max_examples=examples(100))
@given(st.lists(files, min_size=1, max_size=4, unique_by=lambda each: each.path), files)
def test_any_other_file_is_another_digest(found: list[ManifestFile], other: ManifestFile) -> None:
    """Path, size and digest of each file count."""
    one, two = manifest_of(found), manifest_of([*found[:-1], other])
    if one is not None and two is not None:
        assert (one.digest == two.digest) == (one == two)


def test_digest_is_what_its_definition_says() -> None:
    """So that anybody can compute it with a shell."""
    manifest = make_manifest([file("b", size=2), file("a/é", size=10, sha256="f" * 64)])
    lines = f"{'f' * 64} 10 a/é\n{ZERO} 2 b\n"
    assert manifest.digest == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
    assert json.loads(manifest.to_json()) == {
        "format_version": 1,
        "digest": manifest.digest,
        "files": [
            {"path": "a/é", "size": 10, "sha256": "f" * 64},
            {"path": "b", "size": 2, "sha256": ZERO},
        ],
    }


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "at least one file"),
        ([file("a"), file("a")], "same path"),
        ([file("a"), file("a/b")], "'a' is both"),
        ([file("a"), file("a/b/c"), file("a.b")], "'a' is both"),
        ([file("../a")], "Invalid path"),
        ([file("/a")], "Invalid path"),
        ([file("")], "Invalid path"),
        ([file("a\\b")], "Invalid path"),
    ],
)
def test_illegal_files_are_refused(found: list[ManifestFile], message: str) -> None:
    """Before anybody writes them somewhere."""
    with pytest.raises(InvalidArgumentError, match=message):
        make_manifest(found)


GOOD = make_manifest([file("a", size=3), file("b/c", size=0)]).to_json()


@pytest.mark.parametrize("position", range(0, len(GOOD), 7))
def test_damaged_manifest_is_never_another_one(position: int) -> None:
    """A flipped bit is refused, or changes nothing that counts."""
    for bit in range(8):
        damaged = bytearray(GOOD)
        damaged[position] ^= 1 << bit
        try:
            assert parse_manifest(bytes(damaged)) == parse_manifest(GOOD)
        except StoreCorruptedError:
            continue


@pytest.mark.parametrize("length", range(0, len(GOOD) - 1, 11))
def test_truncated_manifest_is_refused(length: int) -> None:
    """At any length."""
    with pytest.raises(StoreCorruptedError):
        parse_manifest(GOOD[:length])


def edited(**changes: object) -> bytes:
    return json.dumps({**json.loads(GOOD), **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        edited(format_version=2),
        edited(digest=None),
        edited(files=None),
        edited(files=[]),
        edited(files=[{"path": "a"}]),
        edited(files=[{"path": "a", "size": -1, "sha256": ZERO}]),
        edited(files=[{"path": "a", "size": True, "sha256": ZERO}]),
        edited(files=[{"path": "a", "size": "1", "sha256": ZERO}]),
        edited(files=[{"path": "a", "size": 1, "sha256": ZERO[1:]}]),
        edited(files=[{"path": "../a", "size": 1, "sha256": ZERO}]),
        edited(files=["a"]),
    ],
    ids=lambda raw: raw[:40].decode("latin-1"),
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    """As damage, not as an argument of somebody's."""
    with pytest.raises(StoreCorruptedError):
        parse_manifest(raw)


def test_swapped_entries_are_another_digest() -> None:
    """The digests of two files cannot change places in a manifest."""
    document = json.loads(make_manifest([file("a"), file("b", sha256="1" * 64)]).to_json())
    one, two = document["files"]
    one["sha256"], two["sha256"] = two["sha256"], one["sha256"]
    with pytest.raises(StoreCorruptedError, match="damaged"):
        parse_manifest(json.dumps(document).encode())


def test_more_files_than_a_manifest_holds_are_refused(monkeypatch):
    """What could not be read back is not written."""
    monkeypatch.setattr("registry_core.artifacts.manifest.MANIFEST_MAX_BYTES", 10_000)
    files = [ManifestFile(path=f"f{n}", size=10**19, sha256="0" * 64) for n in range(60)]
    assert len(make_manifest(files).to_json()) <= 10_000
    with pytest.raises(InvalidArgumentError, match="70 files are too many"):
        make_manifest(files + [ManifestFile(path=f"g{n}", size=1, sha256="") for n in range(10)])


def test_size_of_a_manifest_is_not_guessed_too_low(monkeypatch):
    """Characters that JSON escapes count as what they become."""
    monkeypatch.setattr("registry_core.artifacts.manifest.MANIFEST_MAX_BYTES", 10_000)
    files = [ManifestFile(path=f'{n}"' + '"' * 200, size=1, sha256="0" * 64) for n in range(30)]
    with pytest.raises(InvalidArgumentError, match="too many"):
        make_manifest(files)


@pytest.mark.parametrize("filling", [b"{},", b"[[],"])
def test_manifest_that_unfolds_to_millions_of_objects_is_refused(filling):
    """Before it does."""
    raw = b'{"format_version": 1, "files": [' + filling * 5_000_000
    with pytest.raises(StoreCorruptedError, match="too much"):
        parse_manifest(raw)
