"""A change is written down in few places. Everything else learns of it from there.

The change here renames a tag of a registered model. `PARTS` is all that a developer would write.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.copied_packages import Insertion, seen_in_copy

WORD = """    RENAME_MODEL_TAG = "rename_model_tag", "tag:{key}"
"""

IMPORT = "from registry_core.changes.parts import RenameModelTag\n"

COMMAND = '''

@attrs.frozen(kw_only=True)
class RenameModelTag(ModelPartChange):
    """Give a tag of a registered model another key."""

    action: ClassVar[Action] = Action.RENAME_MODEL_TAG
    permission: ClassVar[Permission] = Permission.EDIT
    topics: ClassVar[Topics] = Topics()
    is_gated: ClassVar[bool] = False

    key: str
    new_key: str

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        before = documents.present(document, self.name)
        if self.key not in before.tags:
            raise self.missing()
        value = before.tags[self.key]
        return documents.set_tag(documents.delete_tag(before, self.key), self.new_key, value)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> list[Effect]:
        return [Effect(action=self.action, key=self.key, before=self.key, after=self.new_key)]

    def missing(self) -> Exception:
        from registry_core.errors import NotFoundError
        return NotFoundError(f"Registered model '{self.name}' has no tag '{self.key}'")

    @classmethod
    def of_event(cls, event: Event) -> Self:
        return cls(name=event.name, key=key_of(event), new_key=text_of(event))
'''

METHOD = '''
    def rename_registered_model_tag(
        self, name: str, key: str, new_key: str, *, reason: str | None = None
    ) -> None:
        """Give a tag of the registered model another key."""
        name, key = validation.model_name(name), validation.tag_key(key)
        change = RenameModelTag(name=name, key=key, new_key=validation.tag_key(new_key))
        self._writer(reason).apply(change)
'''

STATEMENT = """        "rename_model_tag": model_tag.update()
        .where(*_is(model_tag, "name", "key"))
        .values(key=param("new_key"))
        .returning(model_tag.c.name),
"""

MAKER = """
    @makes(RenameModelTag)
    def rename_model_tag(self, change: Any, by: Author) -> None:
        values = {"name": change.name, "key": change.key, "new_key": change.new_key}
        owner, now = self._sql.model_exists, self._clock()

        def rename(connection: Connection) -> None:
            self._begin(connection, change, owner, values)
            if not connection.run(self._sql.rename_model_tag, values):
                raise change.missing() if connection.run(owner, values) else missing_error(change)
            effects = [*change.effects(None, None)]
            self._queue(connection, change, self._note(connection, change.name, effects, by, now))

        self._database.transaction(rename, model=change.name)
"""

REQUEST = '''

@attrs.frozen(kw_only=True)
class RenameRegisteredModelTag:
    """A tag of a registered model, and its new key."""

    name: str
    key: str
    new_key: str
'''

ROUTE = """    Route(
        change=RenameModelTag,
        id="renameRegisteredModelTag",
        prefix=OWN_API,
        method="POST",
        path="/models/{name}/tags/rename",
        request=requests.RenameRegisteredModelTag,
        call="rename_registered_model_tag",
        summary="Give a tag of a registered model another key.",
    ),
"""

REGCTL = '''

@models.command("rename-tag", epilog=example("regctl models rename-tag churn team squad"))
@name_argument
@click.argument("key", metavar="KEY")
@click.argument("new_key", metavar="NEW_KEY")
@reason_option
@pass_session
def rename_tag(session: Session, name: str, key: str, new_key: str) -> None:
    """Give a tag of a registered model another key."""
    session.registry.rename_registered_model_tag(name, key, new_key)
'''

CORE, SQL = "registry_core", "registry_core/stores/sql"
PARTS = {
    # Its command: the word that stores keep, the class, the method of the library.
    f"{CORE}/history.py": [Insertion("    SET_VERSION_TAG = ", WORD)],
    f"{CORE}/changes/parts.py": [Insertion("", COMMAND)],
    f"{CORE}/calls/parts.py": [
        Insertion("from registry_core.models import", IMPORT),
        Insertion("\n    def delete_registered_model_tag(", METHOD),
    ],
    # Its SQL statement, and what makes it.
    f"{SQL}/parts.py": [Insertion('        "get_alias": ', STATEMENT)],
    f"{SQL}/statements.py": [
        Insertion("    delete_model_tag: Statement", "    rename_model_tag: Statement\n")
    ],
    f"{SQL}/makers/parts.py": [
        Insertion("from registry_core.errors import", IMPORT),
        Insertion("\n    @makes(DeleteModelTag)", MAKER),
    ],
    # Its route.
    f"{CORE}/wire/requests.py": [Insertion("", REQUEST)],
    f"{CORE}/wire/routes.py": [
        Insertion("from registry_core.wire import", IMPORT),
        Insertion(")\n\nROUTES: Final", ROUTE),
    ],
    # Its command of regctl.
    "registry_cli/models.py": [Insertion("\n\nfor command in ", REGCTL)],
}

SHOW = """
import json, sys, urllib.request
from registry_core import Registry, RegistryError
from registry_core.access import Policy, Principal
from registry_core.backends import open_store
from registry_core.gates import Gate
from registry_server.http.declarations import DECLARATIONS
from cli.invoking import Regctl
from services.live_server import LiveServer

seen = {}
def tags(store):
    return dict(store.get_registered_model("m").tags)

def try_out(name, store, writer):
    registry = Registry(writer, gates=(Gate(name="g", aliases=("*",)),))
    registry.create_registered_model("m", tags={"a": "1", "other": "2"})
    registry.rename_registered_model_tag("m", "a", "b", reason="a better word")
    seen["tags in " + name] = tags(store)
    event = next(registry.history("m"))
    seen["event in " + name] = [event.action, event.subject, event.key, event.before, event.after,
                                event.reason, event.sequence]
    for wrong in ("gone", "a"):
        try:
            registry.rename_registered_model_tag("m", wrong, "c")
        except RegistryError as error:
            seen["error in " + name] = str(error)
    seen["problems in " + name] = list(Registry(store).verify_history("m").problems)
    registry.delete_registered_model("m")
    registry.restore_registered_model("m")
    seen["restored in " + name] = tags(store)

for name, url in (("memory", "memory:"), ("sqlite", "sqlite:///" + sys.argv[1])):
    store = open_store(url)
    try_out(name, store, store)
    try:
        nobody = Policy().rights(Principal(name="eve"))
        Registry(store).as_caller(nobody).rename_registered_model_tag("m", "b", "c")
    except RegistryError as error:
        seen["nobody in " + name] = type(error).__name__
with LiveServer() as server:
    served = open_store("memory:")
    server.serve(served)
    try_out("rest", served, open_store(server.url))
    path = "/api/registry/v1/models/m/tags/rename"
    body = json.dumps({"key": "b", "new_key": "d"}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, body, headers, method="POST")
    with urllib.request.urlopen(request) as response:
        seen["http"] = [response.status, json.load(response), tags(served)]
    with urllib.request.urlopen(server.url + "/openapi.json") as response:
        document = json.load(response)
    operation = document["paths"]["/api/registry/v1/models/{name}/tags/rename"]["post"]
    seen["openapi"] = [operation["operationId"], operation["summary"]]
    for name, url in (("rest", server.url), ("sqlite", "sqlite:///" + sys.argv[1])):
        regctl = Regctl(url)
        key = {"rest": "d", "sqlite": "b"}[name]
        regctl.says("models", "rename-tag", "m", key, "e")
        seen["regctl on " + name] = tags(open_store(url))
    seen["help"] = regctl.ok("models", "rename-tag", "--help")
declared = DECLARATIONS["renameRegisteredModelTag"]
seen["declared"] = [declared.audience.name, declared.permission, declared.fields]
print(json.dumps(seen))
"""

STORES = ("memory", "sqlite", "rest")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What there is of the change in a copy of the packages that has its parts."""
    root = tmp_path_factory.mktemp("copy")
    return seen_in_copy(root, PARTS, SHOW, root / "registry.db")


def test_every_store_makes_it(seen: Any) -> None:
    """Gates, which have nothing to look at, let it pass."""
    for store in STORES:
        assert seen[f"tags in {store}"] == {"b": "1", "other": "2"}
        assert seen[f"error in {store}"] == "Registered model 'm' has no tag 'a'"


def test_it_is_in_the_history_and_can_be_played_back(seen: Any) -> None:
    event = ["rename_model_tag", "tag:a", "a", "a", "b", "a better word", 2]
    for store in STORES:
        assert seen[f"event in {store}"] == event
        assert seen[f"problems in {store}"] == []
        assert seen[f"restored in {store}"] == {"b": "1", "other": "2"}


def test_nobody_makes_it_who_may_not(seen: Any) -> None:
    assert seen["declared"] == ["PERMITTED", "edit", ["name"]]
    for store in ("memory", "sqlite"):
        assert seen[f"nobody in {store}"] == "RegisteredModelNotFoundError"


def test_a_server_serves_and_describes_it(seen: Any) -> None:
    assert seen["http"] == [200, {}, {"d": "1", "other": "2"}]
    summary = "Give a tag of a registered model another key."
    assert seen["openapi"] == ["renameRegisteredModelTag", summary]


def test_regctl_has_it(seen: Any) -> None:
    for store in ("rest", "sqlite"):
        assert seen[f"regctl on {store}"] == {"e": "1", "other": "2"}
    assert "regctl models rename-tag churn team squad" in seen["help"]
