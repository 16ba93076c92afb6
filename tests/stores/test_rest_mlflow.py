"""A registry behind MLflow's own server is a registry like any other."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from cli.invoking import Regctl
from registry_core import Registry, open_registry
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    UnsupportedBackendError,
    WebhookNotFoundError,
)
from registry_core.models import (
    NewWebhook,
    Stage,
    Status,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.testing.calls import Calls
from registry_core.validation import PROMPT_TAG


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def registry(mlflow_url: str, _no_proxy: None) -> Iterator[Registry]:
    with open_registry(mlflow_url) as registry:
        registry.ping()
        yield registry


@pytest.fixture
def name() -> str:
    """A name of this test alone: the server is shared, and keeps what others wrote."""
    return f'rest {uuid.uuid4().hex} it\'s "é" %_'


def test_a_model_lives_from_creation_to_deletion(registry: Registry, name: str) -> None:
    """Created, read, changed, renamed and deleted, with tags and a description."""
    created = registry.create_registered_model(name, description="d", tags={"b": "2", "a": "é\n"})
    assert created == registry.get_registered_model(name)
    assert (created.description, dict(created.tags)) == ("d", {"a": "é\n", "b": "2"})
    registry.set_registered_model_tag(name, "c", "")
    registry.delete_registered_model_tag(name, "a")
    assert dict(registry.get_registered_model(name).tags) == {"b": "2", "c": ""}
    assert registry.update_registered_model(name, description=None).description is None
    assert registry.rename_registered_model(name, new_name=name + "2").name == name + "2"
    with pytest.raises(RegisteredModelNotFoundError):
        registry.get_registered_model(name)
    registry.delete_registered_model(name + "2")
    with pytest.raises(RegisteredModelNotFoundError):
        registry.delete_registered_model(name + "2")


def test_a_taken_name_is_refused(registry: Registry, name: str) -> None:
    """The error says who is in the way, also when renaming."""
    registry.create_registered_model(name, tags={PROMPT_TAG: "true"})
    with pytest.raises(AlreadyExistsError) as caught:
        registry.create_registered_model(name)
    assert (caught.value.existing_is_prompt, caught.value.wanted_prompt) == (True, False)
    registry.create_registered_model(name + "2")
    with pytest.raises(AlreadyExistsError):
        registry.rename_registered_model(name + "2", new_name=name)


def test_versions_stages_and_aliases(registry: Registry, name: str) -> None:
    """Latest versions come in stage order, every version with its tags and aliases."""
    registry.create_registered_model(name)
    for number in (1, 2, 3):
        version = registry.create_model_version(
            name, source=f"s3://bucket/{number}", tags={"n": str(number)}, description="d"
        )
        assert (version.version, version.status, version.run_id) == (number, Status.READY, "")
    registry.transition_model_version_stage(name, 1, stage="production")
    registry.transition_model_version_stage(
        name, 2, stage="Production", archive_existing_versions=True
    )
    for alias, number in (("old", 1), ("champion", 2), ("best", 2)):
        registry.set_registered_model_alias(name, alias, number)
    model = registry.get_registered_model(name)
    assert [(found.version, found.current_stage) for found in model.latest_versions] == [
        (3, Stage.NONE), (2, Stage.PRODUCTION), (1, Stage.ARCHIVED),
    ]  # fmt: skip
    assert [found.aliases for found in model.latest_versions] == [
        (),
        ("best", "champion"),
        ("old",),
    ]
    assert dict(model.aliases) == {"best": 2, "champion": 2, "old": 1}
    assert registry.resolve(f"models:/{name}@champion") == registry.get_model_version(name, 2)
    assert model.latest_versions[1] == registry.get_model_version(name, 2)
    registry.delete_registered_model_alias(name, "old")
    with pytest.raises(AliasNotFoundError) as caught:
        registry.get_model_version_by_alias(name, "old")
    assert (caught.value.name, caught.value.alias) == (name, "old")
    registry.delete_model_version(name, 3)
    with pytest.raises(ModelVersionNotFoundError) as missing:
        registry.get_model_version(name, 3)
    assert missing.value.version == 3


def test_descriptions_and_tags_of_versions(registry: Registry, name: str) -> None:
    """None erases a description, an empty text is kept."""
    registry.create_registered_model(name)
    registry.create_model_version(name, source="s3://bucket/m")
    assert registry.update_model_version(name, 1, description="new").description == "new"
    assert registry.update_model_version(name, 1, description="").description == ""
    assert registry.update_model_version(name, 1, description=None).description is None
    registry.set_model_version_tag(name, 1, "auc", "0.9")
    assert dict(registry.get_model_version(name, 1).tags) == {"auc": "0.9"}
    registry.delete_model_version_tag(name, 1, "auc")
    assert dict(registry.get_model_version(name, 1).tags) == {}


def test_a_copy_knows_where_its_bytes_are(registry: Registry, name: str) -> None:
    """The server is asked, since its answers about a version do not say."""
    registry.create_registered_model(name)
    registry.create_model_version(name, source="s3://bucket/m", run_id="r")
    registry.set_registered_model_alias(name, "champion", 1)
    copy = registry.create_model_version(name, source=f"models:/{name}@champion")
    assert (copy.source, copy.run_id) == (f"models:/{name}/1", "r")
    assert copy.download_uri == "s3://bucket/m"
    assert registry.get_model_version(name, 2) == copy
    assert registry.get_model_version_download_uri(name, 2) == "s3://bucket/m"


def test_searches_page_filter_and_order(registry: Registry, name: str) -> None:
    """Every filter is printed so that MLflow reads the same; all pages make the whole."""
    for number in range(5):
        registry.create_registered_model(
            f"{name}-{number}", tags={"k v": "it's" if number % 2 else 'a"b'}
        )
    escaped = name.replace("%", "\\x25").replace("'", "\\'").replace('"', "\\x22")
    several = ", ".join(f"'{escaped}-{number}'" for number in range(5))
    clause = f"name IN ({several})"
    found = list(registry.iter_registered_models(clause, order_by=["name DESC"], page_size=2))
    assert [model.name for model in found] == [f"{name}-{number}" for number in (4, 3, 2, 1, 0)]
    odd = registry.search_registered_models(f'tags.`k v` = "it\'s" AND {clause}').items
    assert [model.name for model in odd] == [f"{name}-1", f"{name}-3"]
    assert odd[0] == registry.get_registered_model(f"{name}-1")
    for model in found:
        registry.create_model_version(model.name, source="s3://bucket/m", run_id="x")
        registry.create_model_version(model.name, source="s3://bucket/m")
    registry.set_registered_model_alias(f"{name}-3", "champion", 2)
    text = f"version_number >= 2 AND {clause}"
    versions = list(registry.iter_model_versions(text, order_by=["name"], page_size=2))
    assert [version.name for version in versions] == sorted(model.name for model in found)
    assert [version.aliases for version in versions] == [(), (), (), ("champion",), ()]
    assert versions[3] == registry.get_model_version(f"{name}-3", 2)


def test_a_filter_longer_than_a_url(registry: Registry, name: str) -> None:
    """MLflow reads it where we put it."""
    registry.create_registered_model(name.replace("'", ""))
    others = ", ".join(f"'{uuid.uuid4()}'" for _ in range(2_000))
    (found,) = registry.search_registered_models(
        f"name IN ('{name.replace(chr(39), '')}', {others})"
    ).items
    assert found.name == name.replace("'", "")


def test_prompts_are_found_when_asked_for(registry: Registry, name: str) -> None:
    """Left out by default, as everywhere; the versions found have their aliases."""
    registry.create_registered_model(name, tags={PROMPT_TAG: "true"})
    registry.create_model_version(
        name, source="dummy-source", tags={PROMPT_TAG: "true", "mlflow.prompt.text": "Hi {{x}}"}
    )
    registry.set_registered_model_alias(name, "live", 1)
    named = f"name IN ({name!r})"
    asked = f"{named} AND tags.`{PROMPT_TAG}` = 'true'"
    assert registry.search_registered_models(named).items == []
    assert registry.search_model_versions(named).items == []
    assert [model.name for model in registry.search_registered_models(asked).items] == [name]
    (version,) = registry.search_model_versions(asked).items
    assert version == registry.get_model_version(name, 1)
    assert version.aliases == ("live",)


def test_the_servers_own_refusals_are_ours(registry: Registry, name: str) -> None:
    """What only the server can know is wrong raises the same class as on other stores."""
    registry.create_registered_model(name)
    with pytest.raises(InvalidArgumentError, match="local path"):
        registry.create_model_version(name, source="/some/where")
    with pytest.raises(InvalidArgumentError, match="page token"):
        registry.search_registered_models(page_token="!")


def test_what_mlflow_has_no_way_to_say_is_refused(registry: Registry, name: str) -> None:
    """Rather than done by halves."""
    registry.create_registered_model(name)
    registry.create_model_version(name, source="s3://bucket/m")
    with pytest.raises(UnsupportedBackendError, match="finalize"):
        Calls(registry.store).finalize_model_version(name, 1, status=Status.READY)


def test_webhooks(registry: Registry) -> None:
    """Kept, changed and deleted; their ids are the server's."""
    created = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
    aliased = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    draft = NewWebhook(
        webhook_id="ours", name="hook", url="http://127.0.0.1:9/x", events=(aliased, created), description="d"
    )  # fmt: skip
    store = registry.store
    hook = store.create_webhook(draft)
    assert hook.webhook_id != "ours"
    assert (hook.name, hook.url, set(hook.events)) == ("hook", draft.url, {created, aliased})
    assert store.get_webhook(hook.webhook_id) == hook
    assert hook in store.list_webhooks()
    changes = WebhookChanges(status=WebhookStatus.DISABLED, events=(created,), description=None)
    changed = store.update_webhook(hook.webhook_id, changes)
    assert (changed.status, changed.events, changed.description) == (
        WebhookStatus.DISABLED,
        (created,),
        None,
    )
    assert (changed.name, changed.url) == (hook.name, hook.url)
    store.delete_webhook(hook.webhook_id)
    for missing in (hook.webhook_id, "no/such id"):
        with pytest.raises(WebhookNotFoundError):
            store.get_webhook(missing)
    with pytest.raises(UnsupportedBackendError, match="secret"):
        store.create_webhook(
            NewWebhook(
                webhook_id="x", name="h", url="http://127.0.0.1:9", events=(created,), secret="s"
            )
        )


def test_regctl_works_on_it(mlflow_url: str, name: str) -> None:
    """The command line neither knows nor cares."""
    regctl = Regctl(mlflow_url)
    regctl.ok("models", "create", name, "--tag", "team=risk")
    assert regctl.names("versions", "create", name, "s3://bucket/m") == [f"models:/{name}/1"]
    assert regctl.says("models", "alias", name, "champion", "1") == "champion: nothing -> 1\n"
    shown = regctl.json("versions", "get", f"models:/{name}@champion")["model_version"]
    assert (shown["source"], shown["aliases"]) == ("s3://bucket/m", ["champion"])
    (line,) = regctl.ok("-o", "jsonl", "versions", "list", name).splitlines()
    assert json.loads(line)["aliases"] == ["champion"]
    assert regctl.run("models", "get", name + "?").exit_code == 3
    assert regctl.run("models", "delete", name, "--yes").exit_code == 0


def test_it_says_that_it_keeps_no_history(registry: Registry, name: str) -> None:
    """Nor compares before it sets; the alias is left alone."""
    registry.create_registered_model(name)
    registry.create_model_version(name, source="s3://bucket/m")
    for call in (
        lambda: list(registry.history(name)),
        lambda: list(registry.activity()),
        lambda: registry.set_registered_model_alias(name, "champion", 1, expected=None),
    ):
        with pytest.raises(UnsupportedBackendError, match="keeps no history"):
            call()
    assert registry.get_registered_model(name).aliases == {}
