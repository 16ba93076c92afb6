"""Who may call which route: every route, every prefix, every kind of caller, from the tables."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from litestar.handlers import asgi

from registry_core import Registry
from registry_core.access import ROLES, Permission
from registry_core.artifacts import ManifestFile, make_manifest
from registry_core.artifacts.trees import open_tree
from registry_core.backends import open_artifacts
from registry_core.models import NewWebhook, WebhookAction, WebhookEntity, WebhookEvent
from registry_core.snapshot_pieces import spooled
from registry_core.stores.memory import MemoryStore
from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_core.wire.uploads import UPLOADS_PATH
from registry_server import Settings, create_app
from registry_server.artifacts.service import PREFIXES
from registry_server.http import declarations, probes, snapshot_uploads
from registry_server.http.declarations import DECLARATIONS, Audience
from registry_server.http.operations import Operation
from registry_server.http.own import ALL_OPERATIONS
from registry_server.http.parts import Part
from registry_server.http.response_shapes import NOTHING
from registry_server.pages import forgery, site
from registry_server.pages.site import ROUTES
from registry_server.webhooks.operations import Handlers, webhook_operations
from services.in_process import InProcessServer, memory_registry
from services.wire_client import Response

CALLERS = ("nobody", "wrong", "stranger", "reader", "writer", "admin", "admin-of-m")


def token(name: str) -> str:
    return f"token of {name}"


def digest(name: str) -> str:
    return hashlib.sha256(token(name).encode()).hexdigest()


FILE = "\n".join(
    [
        *(
            f'[user.{name}]\ntokens = ["sha256:{digest(name)}"]'
            for name in (*CALLERS[2:], "miner", "digger")
        ),
        '[[grant]]\nusers = ["reader"]\nrole = "reader"\nmodels = ["m*"]',
        '[[grant]]\nusers = ["writer"]\nrole = "writer"\nmodels = ["m*"]',
        '[[grant]]\nusers = ["miner", "digger"]\nrole = "writer"\nmodels = ["mine"]',
        '[[grant]]\nusers = ["miner"]\nrole = "writer"\nmodels = ["m"]',
        '[[grant]]\nusers = ["digger"]\nrole = "reader"\nmodels = ["m"]',
        '[[grant]]\nusers = ["admin"]\nrole = "admin"',
        '[[grant]]\nusers = ["admin-of-m"]\nrole = "admin"\nmodels = ["m*"]',
    ]
)


def write_access_file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def headers_of(caller: str) -> list[tuple[bytes, bytes]]:
    if caller == "nobody":
        return []
    secret = "a wrong token" if caller == "wrong" else token(caller)
    return [(b"authorization", f"Bearer {secret}".encode())]


def access_server(directory: Path) -> InProcessServer:
    path = write_access_file(directory / "access.toml", FILE)
    # By the true time: what was deleted long ago cannot be restored.
    registry = Registry(MemoryStore(), local_sources=False)
    registry.artifacts = open_artifacts(f"file://{directory / 'artifacts'}")
    settings = Settings(threads=2, access_file=path, webhook_schemes=("https",))
    return InProcessServer(registry, settings)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with access_server(tmp_path_factory.mktemp("access")) as server:
        yield server


MANIFEST = make_manifest(
    [ManifestFile(path="model", size=1, sha256=hashlib.sha256(b"x").hexdigest())]
)
SAMPLES = {
    "name": "m",
    "new_name": "m2",
    "version": "1",
    "alias": "champion",
    "key": "k",
    "value": "v",
    "stage": "Staging",
    "source": "s3://b/x",
    "description": "d",
    "before": 1,
    "expected": None,
    "manifest": MANIFEST.to_json().decode(),
    "snapshot": {},
    "webhook_id": "w",
    "url": "https://example.com/",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
    "delivery_ids": [],
    "files_were_at": "s3://elsewhere/m",
}


def fill(server: InProcessServer) -> None:
    """One model that has everything, and something deleted."""
    server.empty()
    server.registry.store._content.events.clear()
    registry = server.registry
    for name in ("m", "m-gone", "other"):
        registry.create_registered_model(name, tags={"k": "v"})
        registry.create_model_version(name, source="s3://b/1", tags={"k": "v"})
        registry.create_model_version(name, source="s3://b/2")
        registry.set_registered_model_alias(name, "champion", 1)
    registry.delete_model_version("m", 2)
    registry.delete_registered_model("m-gone")


def sent(
    server: InProcessServer,
    operation: Operation,
    path: str,
    caller: str,
    *,
    method: str | None = None,
    **given,
) -> Response:
    """The answer to a sample of an operation."""
    values = {**SAMPLES, **given}
    if operation.id == "createRegisteredModel":
        values["name"] = given.get("name", "m-new")
    if operation.id == "restoreDeletedModel":
        values = {"name": given.get("name", "m-gone")}
    if operation.id == "restoreDeletedVersion":
        values["version"] = "2"
    fields = [field.name for field in attrs.fields(operation.request)]
    in_path = [name for name in fields if f"{{{name}}}" in path]
    for name in in_path:
        path = path.replace(f"{{{name}}}", urllib.parse.quote(str(values[name]), safe=""))
    rest = {name: values[name] for name in fields if name in values and name not in in_path}
    headers = headers_of(caller)
    if operation.method == "GET":
        query = urllib.parse.urlencode({key: value for key, value in rest.items() if value})
        target = f"{path}?{query}" if query else path
        return server.send(method or "GET", target.encode(), b"", headers)
    headers.append((b"content-type", b"application/json"))
    return server.send(operation.method, path.encode(), json.dumps(rest).encode(), headers)


def operations() -> list[Operation]:
    return [*ALL_OPERATIONS, *webhook_operations(Handlers(), Handlers())]


ALL = [(operation, path) for operation in operations() for path in operation.paths]


def may(caller: str, operation: Operation) -> bool:
    """Whether a caller may do what an operation does with a model of the name `m`."""
    declared = DECLARATIONS[operation.id]
    roles = {"reader": ROLES["reader"], "writer": ROLES["writer"]}
    if caller == "admin":
        return True
    if declared.of_all:
        return False
    if caller == "admin-of-m":
        return True
    permissions = set(roles.get(caller, ()))
    if operation.id == "renameRegisteredModel" and Permission.DELETE not in permissions:
        return False
    return declared.permission is None or declared.permission in permissions


@pytest.mark.parametrize(("operation", "path"), ALL, ids=[f"{o.id} {p}" for o, p in ALL])
def test_every_operation_answers_every_caller_as_declared(
    server: InProcessServer, operation: Operation, path: str
) -> None:
    declared = DECLARATIONS[operation.id]
    assert declared.audience is not Audience.ANYBODY
    for caller in CALLERS:
        fill(server)
        before = server.registry.snapshot("m")
        answer = sent(server, operation, path, caller)
        case = caller, answer.status, answer.body
        if caller in ("nobody", "wrong"):
            assert answer.status == 401, case
        elif operation.id == "putModelSnapshot":
            assert answer.status in (400, 403), case
        elif declared.of_all or declared.permission is None:
            assert (answer.status == 403) is not may(caller, operation), case
        elif caller == "stranger":
            hidden = sent(server, operation, path, "admin", name="zzz")
            if operation.id == "createRegisteredModel":
                assert answer.status == 403, case
            else:
                assert answer.status == hidden.status, case
                name = b"m-gone" if operation.id == "restoreDeletedModel" else b"m"
                assert answer.body == hidden.body.replace(b"zzz", name), case
        elif may(caller, operation):
            # Nobody has approved of anything that could be withdrawn.
            is_nothing = operation.id == "withdrawModelVersionApproval" and answer.status == 404
            assert is_nothing or answer.status not in (401, 403, 404, 500), case
        else:
            assert answer.status == 403, case
            assert json.loads(answer.body)["error_code"] == "PERMISSION_DENIED"
        if answer.status >= 400:
            assert server.registry.snapshot("m") == before, case
        if operation.method == "GET":
            head = sent(server, operation, path, caller, method="HEAD")
            assert head.status == answer.status, case


@pytest.mark.parametrize("name", probes.NAMED.names)
def test_probes_answer_as_declared(server: InProcessServer, name: str) -> None:
    paths = {"server_info": "/api/3.0/mlflow/server-info", "openapi": "/openapi.json"}
    path = paths.get(name, f"/{name}").encode()
    is_open = DECLARATIONS[name].audience is Audience.ANYBODY
    for caller in CALLERS:
        expected = 200 if is_open or caller not in ("nobody", "wrong") else 401
        assert server.send("GET", path, b"", headers_of(caller)).status == expected, caller


# Artifacts

UPLOAD_ID = "0" * 64

FILES = [
    ("GET", "artifacts/{}/{}/model", Permission.READ),
    ("HEAD", "artifacts/{}/{}/model", Permission.READ),
    ("GET", "artifacts?path={}/{}", None),
    ("GET", "artifacts", None),
    ("GET", "presigned/{}/{}/model", Permission.READ),
    ("PUT", "artifacts/{}/loose/file", Permission.REGISTER),
    ("DELETE", "artifacts/{}/loose", Permission.DELETE),
    ("POST", "mpu/create/{}/loose", Permission.REGISTER),
    ("POST", "mpu/complete/{}/loose", Permission.REGISTER),
    ("POST", "mpu/abort/{}/loose", Permission.REGISTER),
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("route", FILES, ids=lambda route: f"{route[0]} {route[1]}")
def test_every_artifact_route_answers_every_caller_as_declared(
    server: InProcessServer, tmp_path: Path, prefix: str, route: tuple[str, str, Permission | None]
) -> None:
    method, path, permission = route
    fill(server)
    (tmp_path / "model").write_bytes(b"x")
    server.registry._local_sources = True
    version = server.registry.push_model_version("m", tmp_path / "model")
    server.registry._local_sources = False
    server.registry.files.write("m/loose/file", [b"y"])
    folder = version.source.removeprefix(f"{server.registry.artifacts.root}/").partition("/")[2]
    target = f"{prefix}/{path.format('m', folder)}".encode()
    body = json.dumps({"path": "/x/file", "num_parts": 1, "upload_id": "u", "parts": []}).encode()
    for caller in CALLERS:
        headers = [*headers_of(caller), (b"content-type", b"application/json")]
        answer = server.send(method, target, body if method in ("PUT", "POST") else b"", headers)
        case = caller, answer.status, answer.body
        permissions = ROLES.get(caller.removesuffix("-of-m"), frozenset())
        if caller in ("nobody", "wrong"):
            assert answer.status == 401, case
        elif permission is None:
            assert answer.status == 200, case
            assert (b"files" in answer.body) is (caller != "stranger"), case
        elif caller == "stranger":
            assert answer.status == (404 if permission is Permission.READ else 403), case
        else:
            assert (answer.status in (403, 404)) is (permission not in permissions), case


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_uploads_without_a_place_are_of_a_model(
    server: InProcessServer, tmp_path: Path, method: str
) -> None:
    """Who may not write what is below its folder may not even learn whether there are some."""
    fill(server)
    target = f"{UPLOADS_PATH}/m/{UPLOAD_ID}".encode()
    for caller in CALLERS:
        answer = server.send(method, target, b"", headers_of(caller))
        permissions = ROLES.get(caller.removesuffix("-of-m"), frozenset())
        case = caller, answer.status, answer.body
        if caller in ("nobody", "wrong"):
            assert answer.status == 401, case
        elif Permission.REGISTER in permissions:
            assert answer.status == (204 if method == "HEAD" else 200), case
        else:
            assert answer.status == 403, case


def test_an_upload_is_published_by_who_may_write_both_models(server: InProcessServer) -> None:
    """A path in the folder of one model may be of a version of another one's."""
    registry = server.registry
    fill(server)
    writer = registry.files.upload_writer(f"other/{UPLOAD_ID}")
    writer.write(b"secret")
    sha256 = str(writer.commit().sha256)
    registry.create_model_version("m", source="mlflow-artifacts:/other/1")
    value = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = [
        *headers_of("writer"),
        (b"content-length", b"0"),
        (b"repr-digest", f"sha-256=:{value}:".encode()),
        (b"registry-upload", UPLOAD_ID.encode()),
    ]
    for path, status in (("m/2/f", 404), ("other/2/f", 403), ("other/1/f", 403)):
        target = f"{PREFIXES[0]}/artifacts/{path}".encode()
        assert server.send("PUT", target, b"", headers).status == status, path
    assert registry.files.kept_upload(f"other/{UPLOAD_ID}").sha256 == sha256


def test_files_follow_a_model_that_was_renamed_or_copied(
    server: InProcessServer, tmp_path: Path
) -> None:
    fill(server)
    (tmp_path / "model").write_bytes(b"x")
    registry = server.registry
    registry._local_sources = True
    version = registry.push_model_version("m", tmp_path / "model")
    registry._local_sources = False
    path = version.source.removeprefix(f"{registry.artifacts.root}/")
    target = f"{PREFIXES[0]}/artifacts/{path}/model".encode()

    def status(caller: str) -> int:
        return server.send("GET", target, b"", headers_of(caller)).status

    assert status("reader") == 200
    registry.rename_registered_model("m", new_name="secret")
    assert status("reader") == 404
    assert status("admin") == 200
    # Who names the files as the source of his own version reads no more than before.
    api = "/api/2.0/mlflow/model-versions/create"
    registry.create_registered_model("mine")
    body = json.dumps({"name": "mine", "source": version.source}).encode()
    headers = [*headers_of("writer"), (b"content-type", b"application/json")]
    refused = server.send("POST", api.encode(), body, headers)
    assert refused.status == 400, refused.body
    # A copy is read by those who may read it.
    registry.create_model_version("mine", source=f"models:/secret/{version.version}")
    assert status("reader") == 200


def test_files_of_an_adopted_copy_follow_its_model(server: InProcessServer, tmp_path: Path) -> None:
    """It names what it is a copy of as its source, and not where its files came to be."""
    fill(server)
    registry, place = server.registry, "s3://elsewhere/model"
    registry.create_registered_model("mine")
    registry.create_registered_model("origin")
    registry.create_model_version("origin", source=place)
    copy = registry.create_model_version("mine", source="models:/origin/1")
    (tmp_path / "model").write_bytes(b"x")
    with open_tree(tmp_path / "model") as tree:
        adopted = registry.files.adopt(copy, tree)
    registry.delete_registered_model("origin")
    assert (adopted.source, adopted.storage_location != place) == ("models:/origin/1", True)
    path = str(adopted.storage_location).removeprefix(f"{registry.artifacts.root}/")
    target = f"{PREFIXES[0]}/artifacts/{path}/model".encode()

    def status(caller: str) -> int:
        return server.send("GET", target, b"", headers_of(caller)).status

    assert (status("reader"), status("stranger")) == (200, 404)
    registry.rename_registered_model("mine", new_name="secret")
    # Another model that is called as the folder is opens nothing.
    registry.create_registered_model("mine")
    assert (status("reader"), status("admin")) == (404, 200)
    registry.delete_registered_model("mine")
    assert status("reader") == 404
    registry.rename_registered_model("secret", new_name="mine")
    assert status("reader") == 200


@pytest.mark.parametrize(
    ("folder", "copy", "status"),
    [("x/1/model", "mine", 200), ("m/1/model", "secret", 404)],
    ids=["who reads the copy", "who reads a model called as the folder is"],
)
def test_files_of_a_copy_follow_it_when_its_origin_is_gone(
    server: InProcessServer, folder: str, copy: str, status: int
) -> None:
    """Wherever below the root they are, and whatever the origin was called."""
    fill(server)
    registry = server.registry
    for name in ("origin", copy):
        registry.create_registered_model(name)
    registry.artifacts.write(f"{folder}/data/f", [b"x"])
    registry.create_model_version("origin", source=f"{registry.artifacts.root}/{folder}")
    registry.create_model_version(copy, source="models:/origin/1")
    target = f"{PREFIXES[0]}/artifacts/{folder}/data/f".encode()

    def answered() -> int:
        return server.send("GET", target, b"", headers_of("reader")).status

    assert answered() == status
    registry.rename_registered_model("origin", new_name="former")
    assert answered() == status
    registry.delete_registered_model("former")
    assert answered() == status
    # A new model of the name has other files, to which the old copy leads nobody.
    registry.create_registered_model("origin")
    registry.artifacts.write("new/2/f", [b"secret"])
    registry.create_model_version("origin", source=f"{registry.artifacts.root}/new/2")
    target = f"{PREFIXES[0]}/artifacts/new/2/f".encode()
    assert answered() == 404


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("folder", ["m", "m/run"])
def test_a_version_of_a_whole_folder_opens_nothing_of_others_in_it(
    tmp_path: Path, folder: str, is_first: bool
) -> None:
    """Who may register a version in one model reads no files of another below its source.

    Nor has he what the folder of a model gets later; and only who may write there may seal all of it.
    """
    with access_server(tmp_path) as server:
        registry = server.registry
        registry.files.write("m/run/deep/model", [b"secret"])
        registry.files.write("m/run/notes", [b"for all"])
        registry.create_registered_model("mine")

        def register(caller: str) -> int:
            body = json.dumps({"name": "mine", "source": f"mlflow-artifacts:/{folder}"}).encode()
            headers = [*headers_of(caller), (b"content-type", b"application/json")]
            return server.send(
                "POST", b"/api/2.0/mlflow/model-versions/create", body, headers
            ).status

        def read(path: str) -> int:
            target = f"{PREFIXES[0]}/artifacts/{path}".encode()
            return server.send("GET", target, b"", headers_of("miner")).status

        if is_first:
            assert register("digger") == (400 if folder == "m" else 200)
            assert register("miner") == 200
        registry.create_registered_model("secret")
        registry.create_model_version("secret", source="mlflow-artifacts:/m/run/deep")
        if not is_first:
            assert (register("digger"), register("miner"), register("admin")) == (400, 400, 200)
        # Who puts a model into the folder of another's version has given it to who reads that.
        is_given = folder != "m"
        assert read("m/run/deep/model") == (200 if is_given else 404)
        assert read("m/run/notes") == 200


# Pages

PAGES = [
    (method, "/" + route.path)
    for route in (*ROUTES, *site._webhook_routes(Handlers()))
    for method, handler in (("GET", route.show), ("POST", route.act))
    if handler is not None
]


def _address(server: InProcessServer, path: str) -> str:
    """The address of a page of `m`, of its first version, or of what was deleted."""
    if path == "/trash/models/*/*":
        (gone,) = server.registry.deleted_registered_models("m-gone")
        return f"/trash/models/m-gone/{gone.model_id}"
    if path == "/trash/versions/*/*":
        return "/trash/versions/m/2"
    segments = {"models": "m", "aliases": "champion", "versions": "1", "webhooks": "w"}
    if path.startswith("/activity/"):
        segments["models"] = next(server.registry.history("m")).model_id
    pieces = path.split("/")
    for place, piece in enumerate(pieces):
        if piece == "*":
            pieces[place] = segments[pieces[place - 1]]
    return "/".join(pieces)


def asked(server: InProcessServer, method: str, path: str, caller: str) -> Response:
    """The answer to a browser of a caller; forms are sent as a page sends them."""
    address = _address(server, path)
    headers, body = [*headers_of(caller), (b"accept", b"text/html")], b""
    if method == "POST":
        secret = bytes(16)
        headers += [
            (b"cookie", f"{forgery.COOKIE}={secret.hex()}".encode()),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ]
        form = {
            "name": "m-new",
            "key": "k",
            "value": "w",
            "new_name": "m3",
            "stage": "Staging",
            "alias": "champion",
            "version": "1",
            "description": "d",
            "confirmed": "1" if "versions" in path else "m",
            "expected": "None" if path.endswith("stage") else "1",
            "form_token": forgery.token(secret),
        }
        body = urllib.parse.urlencode(form).encode()
    return server.send(method, address.encode(), body, headers)


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_every_page_answers_every_caller_as_declared(
    server: InProcessServer, method: str, path: str
) -> None:
    expected = {
        "nobody": (303, 401),
        "wrong": (303, 401),
        # A form with a slip in it is refused before anything is looked up.
        "stranger": (404, 400) if "/*" in path else (200, 403),
        "reader": (200, 303) if method == "GET" else (403,),
    }
    if path.endswith("/verify"):
        # Reading every byte is reading; those of this version are elsewhere.
        expected["reader"] = (200,) if method == "GET" else (400,)
    if "trash/" in path:
        expected["stranger"] = (404,)
        expected["writer"] = expected["reader"]
    if "webhooks" in path:
        expected |= dict.fromkeys(CALLERS[2:], (403,))
        expected["admin"] = (200, 303, 404, 400)
    for caller in CALLERS:
        fill(server)
        before = server.registry.snapshot("m")
        answer = asked(server, method, path, caller)
        case = caller, answer.status, answer.body[-1500:]
        assert method == "POST" or answer.status in expected.get(caller, (200, 303)), case
        assert method == "GET" or answer.status in expected.get(
            caller, (303, 400, 403, 404, 409)
        ), case
        if caller == "stranger":
            assert b"champion" not in answer.body, case
        if caller == "reader" and method == "GET" and "trash" not in path:
            assert b"form_token" not in answer.body, case
        if caller not in ("writer", "admin", "admin-of-m"):
            assert server.registry.snapshot("m") == before, case


@pytest.mark.parametrize("path", ["", "/new", "/w", "/w/edit", "/w/test", "/w/redeliver"])
def test_pages_of_webhooks_are_for_who_may_have_to_do_with_them(
    server: InProcessServer, path: str
) -> None:
    """Whoever reads a delivery reads of every model."""
    fill(server)
    event = WebhookEvent(WebhookEntity.PROMPT, WebhookAction.CREATED)
    server.registry.store.create_webhook(
        NewWebhook(webhook_id="w", name="deploy", url="https://example.com/s3cret", events=(event,))
    )
    for caller in CALLERS:
        if caller in ("nobody", "wrong"):
            continue
        answer = asked(server, "GET", f"/webhooks{path}", caller)
        assert answer.status == (200 if caller == "admin" else 403), (caller, answer.body[-500:])
        assert (b"deploy" in answer.body) == (caller == "admin"), caller
        home = asked(server, "GET", "/", caller)
        assert (b">Webhooks<" in home.body) == (caller == "admin"), caller
        if caller != "admin":
            assert asked(server, "POST", f"/webhooks{path}", caller).status in (403, 405), caller


# The table itself


@pytest.mark.parametrize(
    "path",
    ["/modelsx", "/webhooks2", "/staticx", "/aboutx/y", "/new2", "/trash.", "/activity-"]
    + [
        f"{api}/2{dot}0/mlflow-artifacts/artifacts"
        for api in ("/api", "/ajax-api")
        for dot in "x/_"
    ],
)
@pytest.mark.parametrize("caller", ["nobody", "reader", "admin"])
def test_what_is_nearly_a_route_is_none(server: InProcessServer, path: str, caller: str) -> None:
    answer = server.send("GET", path.encode(), b"", headers_of(caller))
    assert answer.status in ((404,) if caller != "nobody" else (401, 404))


def test_a_route_without_a_declaration_does_not_start(tmp_path: Path) -> None:
    stray = attrs.evolve(operations()[0], id="strayOperation", path="/stray", answer=NOTHING)
    with pytest.raises(declarations.UndeclaredRouteError, match="strayOperation"):
        create_app(memory_registry(), Settings(threads=1), operations=(stray,))


@pytest.mark.parametrize("name", ["pages", "signin", "artifacts", "metrics", snapshot_uploads.NAME])
def test_what_is_no_operation_is_declared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = write_access_file(tmp_path / "access.toml", FILE)
    monkeypatch.delitem(DECLARATIONS, name)  # type: ignore[arg-type]  # it is a dict
    with pytest.raises(declarations.UndeclaredRouteError, match=name):
        create_app(memory_registry(), Settings(threads=1, access_file=file))


@pytest.mark.parametrize("name", [None, "stray7"])
def test_a_route_of_a_part_without_a_declaration_does_not_start(
    monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """Whatever the part says that its requests are counted as."""

    async def stray(scope: object, receive: object, send: object) -> None: ...

    part = Part(routes=(asgi("/stray", name=name)(stray),), names=("health",))
    monkeypatch.setattr("registry_server.http.app.snapshot_part", lambda: part)
    with pytest.raises(declarations.UndeclaredRouteError, match="stray"):
        create_app(memory_registry(), Settings(threads=1))


def test_every_declaration_is_of_a_route() -> None:
    known = {operation.id for operation in operations()} | set(probes.NAMED.names)
    assert DECLARATIONS.keys() - known == {"artifacts", "pages", "signin", snapshot_uploads.NAME}


def test_no_snapshot_is_taken_from_who_has_shown_a_name(tmp_path: Path) -> None:
    """Neither route: a history has the names of others. Of a file of users, too, who may do all."""
    file = write_access_file(tmp_path / "users", f"ann:sha256:{digest('ann')}")
    with InProcessServer(memory_registry(), Settings(threads=1, auth_file=file)) as server:
        server.registry.create_registered_model("m")
        snapshot = server.registry.snapshot("m")
        server.registry.delete_registered_model("m")
        lines = b"".join(spooled(snapshot).lines())
        headers = [*headers_of("ann"), (b"content-type", b"application/x-ndjson")]
        answer = server.send("POST", SNAPSHOTS_PATH.encode(), lines, headers)
        assert answer.status == 403, answer.body
        assert not list(server.registry.iter_registered_models())


# What is told


def answer_of(
    server: InProcessServer, caller: str, method: str, path: str, body: object = None
) -> Response:
    headers = [*headers_of(caller), (b"content-type", b"application/json")]
    data = b"" if body is None else json.dumps(body).encode()
    return server.send(method, path.encode(), data, headers)


def test_whoami_tells_what_a_caller_may_do(server: InProcessServer) -> None:
    answer = json.loads(answer_of(server, "writer", "GET", "/api/registry/v1/whoami").body)
    assert answer["name"] == "writer"
    assert answer["is_restricted"]
    (grant,) = answer["grants"]
    assert grant["role"] == "writer"
    assert grant["models"] == ["m*"]
    assert "users" not in grant


def test_a_token_of_the_activity_is_of_no_use_to_another(server: InProcessServer) -> None:
    fill(server)
    path = "/api/registry/v1/activity?max_results=1"

    def page(caller: str, token: str = "") -> tuple[int, dict]:
        found = answer_of(server, caller, "GET", path + (f"&page_token={token}" if token else ""))
        return found.status, json.loads(found.body)

    tokens = {caller: page(caller)[1]["next_page_token"] for caller in ("reader", "miner", "admin")}
    for of, token in tokens.items():
        for caller in tokens:
            assert page(caller, token)[0] == (200 if caller == of else 400), (of, caller)


def test_the_actor_of_history_is_the_proven_name(server: InProcessServer) -> None:
    fill(server)
    body = {"name": "m", "description": "by whom?"}
    assert (
        answer_of(
            server, "writer", "PATCH", "/api/2.0/mlflow/registered-models/update", body
        ).status
        == 200
    )
    event = next(server.registry.history("m"))
    assert (event.actor, event.is_authenticated) == ("writer", True)


def test_basic_credentials_have_the_token_as_password(server: InProcessServer) -> None:
    pair = base64.b64encode(f"reader:{token('reader')}".encode())
    path = b"/api/2.0/mlflow/registered-models/search"
    assert server.send("GET", path, b"", [(b"authorization", b"Basic " + pair)]).status == 200
    other = base64.b64encode(f"writer:{token('reader')}".encode())
    assert server.send("GET", path, b"", [(b"authorization", b"Basic " + other)]).status == 401
