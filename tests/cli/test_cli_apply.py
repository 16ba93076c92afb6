"""A registry as code, versions compared and tagged by the dozen, and prompts."""

from __future__ import annotations

import pytest

from cli.invoking import Regctl
from registry_core import InvalidArgumentError, Registry, StaleValueError, open_registry
from registry_core.declarations import declarations_of, plan
from registry_core.models import WebhookAction, WebhookChanges, WebhookEntity, WebhookEvent
from registry_core.stores.memory import MemoryStore

FILE = """
[models.churn]
description = "who leaves"
tags = { team = "risk", tier = 1 }
aliases = { champion = 2 }

[models.fraud]

[webhooks.ci]
url = "https://1.1.1.1/hook"
events = ["model_version.created", "model_version_alias.created"]
"""

CREATED = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
HOOK = "[webhooks.ci]\nurl = 'https://h'\nevents = ['model_version.created']\n"


@pytest.fixture
def cli(tmp_path, monkeypatch):
    """A registry with versions 1 and 2 of `churn`, in a folder with the file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text("\ufeff" + FILE, encoding="utf-8")
    with open_registry("sqlite:///registry.db") as registry:
        registry.create_registered_model("churn", tags={"old": "yes"})
        for number in (1, 2):
            source, tags = f"s3://b/churn/{number}", {"auc": number / 10}
            registry.create_model_version("churn", source=source, tags=tags)
        registry.set_registered_model_alias("churn", "canary", 1)
    return Regctl("sqlite:///registry.db")


def _changes(result):
    return [tuple(line.split()[:3]) for line in result.stdout.splitlines()[1:]]


def test_a_file_is_planned_checked_applied_and_then_true(cli):
    """And a byte-order mark before it is no fault."""
    planned = cli.run("apply", "-f", "registry.toml", "--dry-run", "-o", "json")
    checked = cli.run("apply", "-f", "registry.toml", "--check", "-o", "json")
    assert (planned.exit_code, checked.exit_code) == (0, 8)
    assert planned.stdout == checked.stdout
    assert cli.json("models", "get", "churn")["registered_model"]["tags"] == [
        {"key": "old", "value": "yes"}
    ]
    applied = cli.run("apply", "-f", "registry.toml", "-o", "name")
    assert applied.exit_code == 0, applied.stderr
    assert applied.stdout.splitlines() == [*["models:/churn"] * 4, "models:/fraud", "webhook ci"]
    again = cli.run("apply", "-f", "registry.toml", "--check")
    assert (again.exit_code, "is what the file says" in again.stderr) == (0, True)
    churn = cli.json("models", "get", "churn")["registered_model"]
    assert {tag["key"]: tag["value"] for tag in churn["tags"]} == {
        "old": "yes", "team": "risk", "tier": "1",
    }  # fmt: skip
    assert {each["alias"] for each in churn["aliases"]} == {"canary", "champion"}
    assert cli.run("versions", "get", "churn@champion", "-o", "name").stdout == "models:/churn/2\n"


def test_prune_removes_what_the_file_does_not_have_and_no_model(cli, tmp_path):
    """Tags, aliases and webhooks."""
    cli.run("apply", "-f", "registry.toml")
    (tmp_path / "small.toml").write_text(
        "[models.churn]\ntags = {team = 'risk'}\naliases = {}\n[webhooks]\n"
    )
    kept = cli.run("apply", "-f", "small.toml", "--check")
    assert kept.exit_code == 0
    assert cli.run("apply", "-f", "small.toml", "--prune", "--check").exit_code == 8
    assert cli.run("apply", "-f", "small.toml", "--prune").exit_code == 0
    churn = cli.json("models", "get", "churn")["registered_model"]
    assert (churn["tags"], churn.get("aliases")) == ([{"key": "team", "value": "risk"}], None)
    assert cli.names("models", "list") == ["churn", "fraud"]
    assert cli.names("webhooks", "list") == []


def test_what_others_changed_since_the_plan_is_not_overwritten():
    """Each step says what it has seen."""
    registry = Registry(MemoryStore())
    registry.create_registered_model("m", tags={"a": "1"})
    (step,) = plan(registry, declarations_of({"models": {"m": {"tags": {"a": "2"}}}}))
    registry.set_registered_model_tag("m", "a", "3")
    with pytest.raises(StaleValueError):
        step.apply()
    assert registry.get_registered_model("m").tags == {"a": "3"}


def test_a_description_or_a_webhook_that_others_changed_is_not_overwritten():
    registry = Registry(MemoryStore())
    registry.create_registered_model("m")
    hooks, events = registry.webhooks, ["model_version.created"]
    old = hooks.create_webhook("old", url="https://1.1.1.1/old", events=[CREATED])
    gone = hooks.create_webhook("gone", url="https://1.1.1.1/gone", events=[CREATED])
    document = {
        "models": {"m": {"description": "planned"}},
        "webhooks": {
            "old": {"url": "https://1.1.1.1/planned", "events": events},
            "new": {"url": "https://1.1.1.1/new", "events": events},
        },
    }
    steps = plan(registry, declarations_of(document), prune=True)
    assert [step.subject for step in steps] == [
        "models:/m", "webhook old", "webhook new", "webhook gone",
    ]  # fmt: skip
    registry.update_registered_model("m", description="another's")
    for hook in (old, gone):
        hooks.update_webhook(hook.webhook_id, WebhookChanges(url="https://1.1.1.1/another"))
    hooks.create_webhook("new", url="https://1.1.1.1/another", events=[CREATED])
    for step in steps:
        with pytest.raises(StaleValueError, match="changed by somebody else"):
            step.apply()
    assert registry.get_registered_model("m").description == "another's"
    assert [hook.url for hook in hooks.list_webhooks()] == ["https://1.1.1.1/another"] * 3


def test_an_event_that_is_written_twice_is_one_event():
    """Otherwise the registry would never be what the file says."""
    registry = Registry(MemoryStore())
    hook = {"url": "https://1.1.1.1/", "events": ["model_version.created", "MODEL_VERSION.CREATED"]}
    declared = declarations_of({"webhooks": {"w": hook}})
    for step in plan(registry, declared):
        step.apply()
    assert plan(registry, declared) == []


def test_prune_removes_all_webhooks_of_a_name():
    """Names need not be unique."""
    registry = Registry(MemoryStore())
    for path in "ab":
        registry.webhooks.create_webhook("w", url=f"https://1.1.1.1/{path}", events=[CREATED])
    for step in plan(registry, declarations_of({"webhooks": {}}), prune=True):
        step.apply()
    assert list(registry.webhooks.list_webhooks()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model.churn]", "the file: 'model' is not known here; known are models, webhooks; did"),
        ("[models.churn]\ntag = {}", "[models.churn]: 'tag' is not known here; known are descr"),
        ("[models.churn]\ndescription = 1", "[models.churn]: 'description' must be a text"),
        ("[models.churn]\ntags = 1", "[models.churn]: 'tags' must be a table, as in"),
        ("[models.churn]\ntags = {a = [1]}", "'tags' must have a text or a number for 'a'"),
        ("[models.churn]\naliases = {a = 'x'}", "[models.churn]: 'aliases' must have the number"),
        ("[models.churn]\naliases = {a = 0}", "[models.churn]: 'aliases' must have the number"),
        ("[models.churn]\naliases = {latest = 1}", "reserved"),
        ("[models]\nchurn = 1", "[models]: 'churn' must be a table, as in [models.churn]"),
        ("models = 1", "'models' must be tables, as in [models.NAME]"),
        ("[webhooks.ci]\nurl = 'https://h'\nevents = ['x']", "[webhooks.ci]: 'events' has 'x'"),
        ("[webhooks.ci]\nurl = 'https://h'\nevents = 'x'", "'events' must be a list, as in"),
        ("[webhooks.ci]\nevents = ['model_version.created']", "[webhooks.ci]: 'url' is missing"),
        (HOOK.replace("version.c", "version.exc").replace("reated", "eeded"), "'events' cannot be"),
        (HOOK + "enabled = 'false'", "[webhooks.ci]: 'enabled' must be true or false"),
        (HOOK + "description = 1", "[webhooks.ci]: 'description' must be a text"),
        (HOOK + "secret_env = 1", "[webhooks.ci]: 'secret_env' must be a text"),
        (HOOK.replace("ci", "'c i'"), "'name' cannot be used: Webhook name 'c i' is invalid"),
        ("[models.churn", "file.toml: is not TOML"),
        ("a = " + "[" * 9_999, "file.toml: is not TOML"),
        ("[models.'a/b']", "Names cannot contain"),
    ],
)
def test_a_file_that_means_nothing_is_told_where(cli, tmp_path, text, message):
    """Before anything is changed."""
    (tmp_path / "file.toml").write_text(text)
    result = cli.run("apply", "-f", "file.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_secret_comes_from_the_environment_and_is_not_shown(monkeypatch):
    """A variable that is not set is a fault, and not an empty secret."""
    document = {
        "webhooks": {
            "ci": {"url": "https://1.1.1.1", "events": ["model_version.created"], "secret_env": "S"}
        }
    }
    with pytest.raises(InvalidArgumentError, match="names 'S', which is not set"):
        declarations_of(document)
    monkeypatch.setenv("S", "hunter2")
    declared = declarations_of(document)
    assert declared.webhooks[0].secret == "hunter2"
    assert "hunter2" not in repr(declared)


def test_two_versions_are_compared_field_by_field(cli):
    """By short references or names and numbers."""
    for words in (
        ("churn/1", "churn/2"),
        ("churn", "1", "churn", "2"),
        ("churn@canary", "churn/2"),
    ):
        found = cli.json("versions", "diff", *words)
        rows = {row["field"]: (row["first"], row["second"]) for row in found["differences"]}
        assert rows == {
            "source": ("s3://b/churn/1", "s3://b/churn/2"),
            "tag 'auc'": ("0.1", "0.2"),
            "aliases": ("canary", None),
        }
    assert cli.json("versions", "diff", "churn/1", "churn/1")["differences"] == []
    assert cli.run("versions", "diff", "churn/1").exit_code == 2


def test_versions_are_tagged_by_a_filter(cli):
    """First shown, then done; one notice says of how many."""
    command = ("versions", "tag", "--filter", "name = 'churn'", "reviewed=yes")
    shown = cli.run(*command, "--dry-run", "-o", "name")
    assert shown.stdout.splitlines() == ["models:/churn/2", "models:/churn/1"]
    assert shown.stderr == "Would set reviewed=yes of 2 model versions.\n"
    assert cli.names("versions", "list", "--filter", "tags.reviewed = 'yes'") == []
    assert cli.says(*command) == "Set reviewed=yes of 2 model versions.\n"
    assert len(cli.names("versions", "list", "--filter", "tags.reviewed = 'yes'")) == 2
    for wrong in (("--dry-run", "churn", "1", "a=b"), ("--filter", "x", "--if-absent", "a=b")):
        assert cli.run("versions", "tag", *wrong).exit_code == 2


def test_prompts_are_listed_shown_and_compared(cli):
    """What the library or MLflow's client has registered."""
    with open_registry(cli.store) as registry:
        registry.prompts.create("greeting", "Hello {{name}}!\nBye.", tags={"lang": "en"})
        registry.prompts.create("greeting", "Good day, {{name}}.\nBye.", exist_ok=True)
        registry.prompts.set_alias("greeting", "live", 1)
    assert cli.names("prompts", "list") == ["greeting"]
    assert (
        cli.run("prompts", "get", "greeting@live", "-o", "name").stdout == "Hello {{name}}!\nBye.\n"
    )
    shown = cli.ok("prompts", "get", "greeting")
    assert "prompts:/greeting/2" in shown
    assert "Good day, {{name}}." in shown
    different = cli.run("prompts", "diff", "greeting/1", "prompts:/greeting/2")
    assert different.exit_code == 1
    assert "-Hello {{name}}!\n+Good day, {{name}}.\n Bye.\n" in different.stdout
    assert cli.run("prompts", "diff", "greeting/1", "greeting@live").exit_code == 0
    assert cli.run("prompts", "get", "churn").exit_code == 3
