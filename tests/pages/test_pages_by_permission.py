"""Pages offer what their reader may do, and nothing else; one page says what that is, and why."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import Registry
from registry_core.access import Permission
from registry_core.backends import open_artifacts
from registry_core.stores.memory import MemoryStore
from registry_server import Settings
from services.in_process import InProcessServer
from services.pages_browser import Browser, Parsed

ALONE = tuple(each for each in Permission if each is not Permission.READ)
"""Permissions that a caller has beside the one to read."""

FORMS = {
    "/description": Permission.EDIT,
    "/tags": Permission.EDIT,
    "/tags/delete": Permission.EDIT,
    "/rename": Permission.EDIT,
    "/stage": Permission.MOVE_ALIAS,
    "/aliases": Permission.MOVE_ALIAS,
    "/aliases/champion": Permission.MOVE_ALIAS,
    "/aliases/champion/rollback": Permission.MOVE_ALIAS,
    "/aliases/champion/delete": Permission.MOVE_ALIAS,
    "/delete": Permission.DELETE,
    "/verify": Permission.READ,
    "/approvals": Permission.APPROVE,
    "/new": Permission.REGISTER,
    "/trash/versions/m/2": Permission.RESTORE,
    "/webhooks/new": Permission.WEBHOOKS,
}
"""What the end of a form's address says that it needs."""

PAGES = (
    "/",
    "/new",
    "/models/m",
    "/models/m/aliases",
    "/models/m/aliases/champion",
    "/models/m/history",
    "/models/m/settings",
    "/models/m/description",
    "/models/m/versions/1",
    "/models/m/versions/1/description",
    "/trash",
    "/trash/versions/m/2",
    "/webhooks",
    "/webhooks/new",
    "/access",
)

LEADING = {
    "/new": Permission.REGISTER,
    "/models/m/aliases": Permission.MOVE_ALIAS,
    "/models/m/description": Permission.EDIT,
    "/models/m/versions/1/description": Permission.EDIT,
    "/trash/versions/m/2": Permission.RESTORE,
    "/webhooks/new": Permission.WEBHOOKS,
}
"""Pages that are for a form, and what it takes to be led to them."""


def token(name: str) -> str:
    return f"token of {name}"


def policy() -> str:
    users = [*map(str, ALONE), "reader", "writer", "admin", "deployer", "nothing"]
    lines = []
    for name in users:
        digest = hashlib.sha256(token(name).encode()).hexdigest()
        lines.append(f'[user.{name}]\ntokens = ["sha256:{digest}"]')
    for each in ALONE:
        models = "*" if each is Permission.WEBHOOKS else "m*"
        lines.append(
            f'[[grant]]\nusers = ["{each}"]\npermissions = ["read", "{each}"]\nmodels = ["{models}"]'
        )
    lines += [
        f'[[grant]]\nusers = ["{role}"]\nrole = "{role}"' for role in ("reader", "writer", "admin")
    ]
    lines += [
        '[[grant]]\nusers = ["deployer"]\npermissions = ["move-alias"]\nmodels = ["m*"]',
        'aliases = ["champion", "stage:Production"]',
        '[[protect]]\naliases = ["champion", "stage:Production"]\nmodels = ["m*", "secret-one"]',
        '[[gate]]\nname = "two eyes"\nmodels = ["m*"]\naliases = ["live"]\napprovals = 1',
    ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    directory = tmp_path_factory.mktemp("permissions")
    path = directory / "access.toml"
    path.write_text(policy())
    path.chmod(0o600)
    registry = Registry(MemoryStore(), artifacts=open_artifacts(f"file://{directory}/root"))
    folder = directory / "files"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    registry.create_registered_model("m", tags={"k": "v"})
    for _ in (1, 2):
        registry.create_model_version("m", source=str(folder), tags={"k": "v"})
    registry.set_registered_model_alias("m", "champion", 2)
    registry.set_registered_model_alias("m", "champion", 1)
    registry.delete_model_version("m", 2)
    registry.create_registered_model("unseen")
    with InProcessServer(registry, Settings(threads=2, access_file=str(path))) as server:
        yield server


def browser(server: InProcessServer, caller: str) -> Browser:
    found = Browser(server)
    found.headers["authorization"] = f"Bearer {token(caller)}"
    return found


def offered(server: InProcessServer, caller: str) -> tuple[set[str], set[str]]:
    """The ends of addresses to which forms are offered, and where links lead."""
    reader, forms, links = browser(server, caller), set(), set()
    for path in PAGES:
        answer = reader.get(path)
        if answer.status != 200:
            assert (answer.status, path[:9]) == (403, "/webhooks")
            continue
        page = Parsed(answer.body.decode())
        for form in page.forms:
            if form.method == "post":
                forms.add(urllib.parse.urljoin(reader.url, form.action or path))
        links |= {
            urllib.parse.urljoin(reader.url, link)
            for link in page.links.values()
            if not link.startswith("#")
        }
    return {urllib.parse.urlsplit(each).path for each in forms}, {
        urllib.parse.urlsplit(each).path for each in links
    }


def needed(address: str) -> Permission:
    return next(
        needs
        for end, needs in sorted(FORMS.items(), key=lambda each: -len(each[0]))
        if address.endswith(end)
    )


@pytest.mark.parametrize("caller", ["reader", "writer", "admin", *map(str, ALONE)])
def test_a_page_offers_what_its_reader_may_do(server: InProcessServer, caller: str) -> None:
    """Every form of an admin's pages is on those of who has its permission, and on no other's."""
    roles = {
        "reader": {Permission.READ},
        "writer": {*Permission} - {*["delete", "webhooks", "restore", "prune"]},
        "admin": {*Permission},
    }
    has = roles.get(caller) or {Permission.READ, Permission(caller)}
    all_forms, _ = offered(server, "admin")
    assert len(all_forms) >= 15
    expected = {form for form in all_forms if needed(form) in has}
    if caller != "admin":
        # The alias is protected, and no grant of the others names it.
        expected -= {form for form in expected if "/aliases/champion" in form}
    forms, links = offered(server, caller)
    assert forms == expected
    assert {path for path, needs in LEADING.items() if needs in has} == links & LEADING.keys()


def test_a_protected_alias_is_offered_to_whom_a_grant_names(server: InProcessServer) -> None:
    """And a protected stage; an alias that the grant does not name is not."""
    forms, _ = offered(server, "deployer")
    assert "/models/m/aliases/champion" in forms
    page = browser(server, "deployer").page("/models/m/versions/1")
    assert "Production" in page.text
    assert "Archived" not in page.text
    assert "/models/m/aliases/live" not in {
        form.action for form in browser(server, "deployer").page("/models/m/aliases/live").forms
    }


def test_who_may_do_nothing_is_answered_so(server: InProcessServer) -> None:
    page = browser(server, "nothing").page("/access")
    assert "grants nothing to you" in page.text


@pytest.mark.parametrize(
    ("caller", "question", "says"),
    [
        ("writer", {"permission": "edit", "model": "m"}, "yes writer may edit on 'm', by line"),
        ("writer", {"permission": "delete", "model": "m"}, "no writer may not delete on 'm': no"),
        ("writer", {"permission": "move-alias", "model": "m", "alias": "champion"}, "protected"),
        ("writer", {"permission": "move-alias", "model": "m", "alias": "Production"}, "protected"),
        ("writer", {"permission": "move-alias", "model": "m", "alias": "other"}, "yes"),
        ("deployer", {"permission": "move-alias", "model": "m", "alias": "champion"}, "yes"),
        ("edit", {"permission": "edit"}, "no edit may not edit for all models"),
        ("writer", {"permission": "fly", "model": "m"}, "There is no permission 'fly'"),
        ("writer", {"permission": "edit", "model": "a/b"}, "Invalid model name"),
        ("writer", {"permission": "move-alias", "model": "m", "alias": "a b"}, "Invalid alias"),
    ],
)
def test_the_access_page_says_why(
    server: InProcessServer, caller: str, question: dict[str, str], says: str
) -> None:
    page = browser(server, caller).page(f"/access?{urllib.parse.urlencode(question)}")
    assert says in page.text
    assert f"You are {caller}" in page.text
    assert "of the access file" in page.text


def test_a_model_that_one_may_not_read_is_answered_as_what_is_missing(
    server: InProcessServer,
) -> None:
    """Its protection is not named, and it is not looked up."""
    reader = browser(server, "edit")
    for permission in ("edit", "move-alias"):
        said = []
        for model in ("unseen", "absent"):
            question = {"permission": permission, "model": model, "alias": "champion"}
            address = f"/access?{urllib.parse.urlencode(question)}"
            found = json.loads(reader.get(address, accept="application/json").body)
            assert not found["decision"]["is_allowed"]
            said.append(found["decision"]["reason"].replace(model, "it"))
        assert said[0] == said[1]


def test_a_protection_does_not_tell_of_other_models(server: InProcessServer) -> None:
    """It is named by its line: it may be of models that the reader may not read."""
    question = {"permission": "move-alias", "model": "m", "alias": "champion"}
    address = f"/access?{urllib.parse.urlencode(question)}"
    reader = browser(server, "edit")
    for accept in ("application/json", "text/html"):
        said = reader.get(address, accept=accept).body.decode()
        assert "[[protect]], and no grant" in said
        assert "secret-one" not in said


def test_a_server_without_names_says_so(tmp_path: Path) -> None:
    del tmp_path
    with InProcessServer() as server:
        page = Browser(server).page("/access")
        assert "may do everything" in page.text
        data = json.loads(Browser(server).get("/access", accept="application/json").body)
        assert data == {
            "name": None,
            "groups": [],
            "is_restricted": False,
            "grants": [],
            "decision": None,
        }
