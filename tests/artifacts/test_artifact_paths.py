"""Paths: one spelling for each file, on every route, and nothing beside the root."""

from __future__ import annotations

import itertools
import json
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifacts.path_tricks import HARMLESS, TRICKS
from registry_core.artifacts import artifact_path, file_path
from registry_core.errors import InvalidArgumentError
from registry_server.artifacts import PREFIXES
from services.artifacts import (
    PREFIX,
    Response,
    artifact_url,
    memory_registry,
    raw_request,
    read_tree,
    serving,
)
from services.examples import examples

SECRET = b"this is none of your business"
ROUTES = {
    "get": (b"GET", b"/artifacts/", b""),
    "head": (b"HEAD", b"/artifacts/", b""),
    "put": (b"PUT", b"/artifacts/", b"evil"),
    "delete": (b"DELETE", b"/artifacts/", b""),
    "list": (b"GET", b"/artifacts?path=", b""),
    "presigned": (b"GET", b"/presigned/", b""),
    "create": (b"POST", b"/mpu/create/", b'{"path": "f", "num_parts": 1}'),
    "complete": (
        b"POST",
        b"/mpu/complete/",
        b'{"path": "f", "upload_id": "u", "parts": [{"part_number": 1, "etag": "e"}]}',
    ),
    "abort": (b"POST", b"/mpu/abort/", b'{"path": "f", "upload_id": "u"}'),
}


@pytest.fixture(scope="module", params=["local", "s3"])
def served(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[tuple[int, Path]]:
    """Our server, and the directory around its root, in which there is a secret."""
    around = tmp_path_factory.mktemp("around")
    (around / "secret").write_bytes(SECRET)
    local = request.param == "local"
    url = str(around / "root") if local else artifact_url(request.param, request)
    registry = memory_registry(url)
    registry.files.write("kept/file.txt", [b"kept"])
    with registry, serving(registry) as port:
        yield port, around


def call(port: int, route: str, path: bytes, *, below: str = PREFIX) -> Response:
    """The answer to a path on a route, sent as it is."""
    method, prefix, body = ROUTES[route]
    if route == "list":
        path = path.replace(b"&", b"%26").replace(b"+", b"%2B")
    return raw_request(port, method + b" " + below.encode() + prefix + path, body=body)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", TRICKS)
def test_tricks_are_refused_on_every_route(served: tuple[int, Path], route: str, kind: str) -> None:
    """With 400, whatever is there; nothing is read, written or removed beside the root."""
    port, around = served
    before = read_tree(around)
    for below, path in itertools.product(PREFIXES, TRICKS[kind]):
        answer = call(port, route, path, below=below)
        assert (path, answer.status) == (path, 400)
        if route != "head":
            assert json.loads(answer.body)["error_code"] == "INVALID_PARAMETER_VALUE"
        assert SECRET not in answer.body
    assert read_tree(around) == before


@pytest.mark.parametrize(
    "name",
    ["..", ".", "a/..", "a/", "..\\..", "C:\\", "#x", "%2e%2e", "a%2fb", "\x00", "e\u0301", "/tmp/a\n"],
)  # fmt: skip
def test_names_in_the_body_of_multipart_calls_are_refused(
    served: tuple[int, Path], name: str
) -> None:
    """Only the last segment of a client's own path counts, and it is held to the same rule."""
    port, _ = served
    body = json.dumps(
        {"path": name, "upload_id": "u", "num_parts": 1, "parts": [{"part_number": 1, "etag": "e"}]}
    ).encode()
    for action in (b"create", b"complete", b"abort"):
        line = b"POST " + PREFIX.encode() + b"/mpu/" + action + b"/d"
        assert raw_request(port, line, body=body).status == 400


@pytest.mark.parametrize("path", HARMLESS, ids=lambda path: path.decode()[:20])
def test_odd_names_are_written_and_read(served: tuple[int, Path], path: bytes) -> None:
    """Under exactly the name that the path decodes to, once."""
    port, _ = served
    if b"?" in path:
        path = path.partition(b"?")[0]
    assert call(port, "put", b"odd/" + path).status == 200
    assert call(port, "get", b"odd/" + path).body == b"evil"
    folder, _, name = f"odd/{unquote_to_bytes(path).decode()}".rpartition("/")
    listed = call(port, "list", folder.encode())
    assert name in [entry["path"] for entry in json.loads(listed.body)["files"]]
    assert call(port, "delete", b"odd").status == 200


def test_folder_may_be_listed_with_a_slash_at_its_end(served: tuple[int, Path]) -> None:
    """Clients join paths; one slash at the end of a folder says that it is one."""
    port, _ = served
    assert call(port, "list", b"kept/").body == call(port, "list", b"kept").body != b"{}"
    for path in (b"/", b"kept//", b"//"):
        assert call(port, "list", path).status == 400


def test_routes_answer_only_where_they_are(served: tuple[int, Path]) -> None:
    """An encoded prefix, another version, no prefix: 404; another method: 405."""
    port, _ = served
    for line in (
        b"GET /api/2.0/mlflow%2Dartifacts/artifacts/kept/file.txt",
        b"GET /api/2.0/mlflow-artifacts/artifactz/kept/file.txt",
        b"GET /api/2.0/mlflow-artifacts",
        b"GET /api/3.0/mlflow-artifacts/artifacts/kept/file.txt",
        b"GET /api/2.0/mlflow-artifacts/mpu/destroy/x",
        b"GET /api/2.0/mlflow/../mlflow-artifacts/artifacts/kept/file.txt",
    ):
        assert raw_request(port, line).status == 404
    refused = raw_request(port, b"PATCH /api/2.0/mlflow-artifacts/artifacts/kept/file.txt")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, PUT, DELETE")
    refused = raw_request(port, b"GET /api/2.0/mlflow-artifacts/mpu/create/x?path=y")
    assert (refused.status, json.loads(refused.body)["message"]) == (
        405,
        "There is no endpoint for GET /api/2.0/mlflow-artifacts/mpu/create/x",
    )


def test_ajax_prefix_is_the_same(served: tuple[int, Path]) -> None:
    """Also where tricks are refused."""
    port, _ = served
    prefix = b"/ajax-api/2.0/mlflow-artifacts/artifacts/"
    assert raw_request(port, b"GET " + prefix + b"kept/file.txt").body == b"kept"
    assert raw_request(port, b"GET " + prefix + b"%2e%2e/secret").status == 400


# The rule itself


@pytest.mark.parametrize("path", [path for paths in TRICKS.values() for path in paths])
def test_rule_refuses_tricks(path: bytes) -> None:
    """Once decoded, as a transport hands them over."""
    with pytest.raises(InvalidArgumentError, match=r"^Invalid path$"):
        artifact_path(unquote_to_bytes(path).decode(errors="surrogateescape"))


def test_root_is_no_file() -> None:
    """The empty path is a folder."""
    assert artifact_path("") == ""
    with pytest.raises(InvalidArgumentError):
        file_path("")


texts = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="./\\;?#%a:~ \x00\uff12\uff15\uff0e\xc5\u0301e\u212b", max_size=10),
    st.lists(
        st.sampled_from(["..", ".", "a", "%2e", "%252e", "\uff1b", ".registry", " ", "b c"]),
        max_size=4,
    ).map("/".join),
)


@settings(max_examples=examples(300))
@given(texts)
@example("a%41")
@example("\uff0e\uff0e/x")
def test_accepted_paths_have_one_spelling(text: str) -> None:
    """No rule by which others tidy up leads from one to another file, let alone upwards."""
    try:
        path = artifact_path(text)
    except InvalidArgumentError:
        return
    if path == "":
        return
    assert path == text == posixpath.normpath(path)
    assert unquote(path).count("/") == path.count("/")
    assert path == unicodedata.normalize("NFC", path)
    for tidy in (
        unquote,
        lambda text: unquote(unquote(text)),
        lambda text: unicodedata.normalize("NFKC", text),
        lambda text: unicodedata.normalize("NFKC", unquote(text)),
        str.strip,
    ):
        inside = posixpath.normpath(posixpath.join("/within", tidy(path)))
        assert inside.startswith("/within/")
    assert posixpath.normpath("/".join(re.split("[;?#]", s)[0] for s in path.split("/"))) not in (".", "..")  # fmt: skip
