"""Shell completion: commands and options from Click, names from the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import registry_core
from cli.invoking import Regctl
from registry_cli.main import regctl
from registry_core import Registry, open_registry
from registry_core.stores.memory import MemoryStore


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the stores that a completion opened; all of them hold the same few models."""
    opened = []
    store = MemoryStore()
    for name in ("churn", "churn_v2", "fraud", "it's", "100%"):
        Registry(store).create_registered_model(name)

    def open_one(url: str) -> Registry:
        opened.append(url)
        return Registry(store)

    monkeypatch.setattr("registry_core.open_registry", open_one)
    monkeypatch.setenv("REGISTRY_STORE", "postgresql://ours")
    return opened


def _complete(words: str) -> list[str]:
    """What a shell would offer for the last word."""
    *before, incomplete = words.split(" ")
    offered = ShellComplete(regctl, {}, "regctl", "_REGCTL_COMPLETE")
    return [item.value for item in offered.get_completions(before, incomplete)]


def test_commands_and_options_complete(asked: list[str]) -> None:
    """Click knows them; no store is touched."""
    assert _complete("mod") == ["models"]
    assert "--filter" in _complete("models list --f")
    assert _complete("-o json") == ["json", "jsonl"]
    assert asked == []


def test_model_names_complete(asked: list[str]) -> None:
    """Names come from the store; wildcards and quotes in them are ordinary characters."""
    assert _complete("models get ch") == ["churn", "churn_v2"]
    assert _complete("models get churn_") == ["churn_v2"]
    assert _complete("models get 100%") == ["100%"]
    assert _complete("models get it's") == ["it's"]
    assert _complete("models get zzz") == []
    assert _complete("versions list fr") == ["fraud"]
    assert set(asked) == {"postgresql://ours"}


@pytest.mark.parametrize(
    "words", ["--store memory: versions get fr", "versions get --store memory: fr"]
)
def test_a_store_on_the_command_line_is_used(asked: list[str], words: str) -> None:
    """The names are those of the store that the command would use."""
    assert _complete(words) == ["fraud"]
    assert asked == ["memory:"]


def test_versions_complete_as_names_and_uris(asked: list[str]) -> None:
    """The first word of a version is a name or a URI; the second is not completed."""
    assert _complete("versions get fr") == ["fraud"]
    assert _complete("versions get models:/fr") == ["models:/fraud"]
    assert _complete("versions tag models:/") == [
        f"models:/{name}" for name in ("100%", "churn", "churn_v2", "fraud", "it's")
    ]
    assert _complete("versions get fraud ") == []


def test_a_store_where_it_is_dear_is_not_asked(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket takes seconds to list, and a missing SQLite file would be made."""
    for url in (f"sqlite:///{tmp_path}/missing.db", "s3://bucket/prefix"):
        monkeypatch.setenv("REGISTRY_STORE", url)
        assert _complete("models get ch") == []
    assert asked == []


def test_a_store_that_fails_completes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that asks for completions gets no error."""
    monkeypatch.setenv("REGISTRY_STORE", "nonsense://x")
    assert _complete("models get ch") == []


def test_a_sqlite_file_that_exists_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Absolute and relative paths are told apart as the store does."""
    monkeypatch.chdir(tmp_path)
    with open_registry("sqlite:///registry.db") as registry:
        registry.create_registered_model("churn")
    for url in ("sqlite:///registry.db", f"sqlite:///{tmp_path}/registry.db"):
        monkeypatch.setenv("REGISTRY_STORE", url)
        assert _complete("models get ch") == ["churn"]


def test_a_shell_can_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the documentation names makes the program answer a shell."""
    monkeypatch.setenv("_REGCTL_COMPLETE", "bash_source")
    result = Regctl("memory:").run()
    assert result.exit_code == 0
    assert "complete -o nosort -F _regctl_completion regctl" in result.stdout


EVIL = ["x;reboot", "x$(reboot)", "x`reboot`", "x y", "x'y", "x\ny", "x\x1b[2J", "x>y", "x\u202ey"]


@pytest.mark.parametrize(
    ("shell", "offered"),
    [
        ("bash_complete", ["x-1.2_ü@b"]),
        ("zsh_complete", ["x y", "x$(reboot)", "x'y", "x-1.2_ü@b", "x;reboot", "x>y", "x`reboot`"]),
    ],
)
def test_names_that_a_shell_would_obey_are_not_offered(
    monkeypatch: pytest.MonkeyPatch, shell: str, offered: list[str]
) -> None:
    """Bash puts them into the command line as they are; the others quote, but not controls."""
    store = MemoryStore()
    for name in [*EVIL, "x-1.2_ü@b"]:
        Registry(store).create_registered_model(name)
    monkeypatch.setattr("registry_core.open_registry", lambda _: Registry(store))
    monkeypatch.setenv("REGISTRY_STORE", "postgresql://ours")
    monkeypatch.setenv("_REGCTL_COMPLETE", shell)
    assert sorted(_complete("models get x")) == sorted(offered)


@pytest.fixture
def versions(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two versions of `churn` with an alias, and a prompt."""
    with registry_core.open_registry("postgresql://ours") as registry:
        for number in (1, 2):
            registry.create_model_version("churn", source=f"s3://b/{number}")
        registry.set_registered_model_alias("churn", "champion", 2)
        registry.prompts.create("greeting", "Hello")


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("versions get churn ", ["2", "1"]),
        ("versions get churn@", ["churn@champion"]),
        ("versions get churn/", ["churn/2", "churn/1"]),
        ("versions get models:/churn@ch", ["models:/churn@champion"]),
        ("versions transition churn 2 ", ["None", "Staging", "Production", "Archived"]),
        ("versions transition churn@champion pro", ["Production"]),
        ("versions transition churn ", ["2", "1"]),
        ("versions latest churn --stage S", ["Staging"]),
        ("models alias churn ", ["champion"]),
        ("models alias churn champion ", ["2", "1"]),
        ("models alias churn champion churn@", ["churn@champion"]),
        ("models unalias churn c", ["champion"]),
        ("models rollback churn --alias ", ["champion"]),
        ("prompts get gr", ["greeting"]),
        ("prompts get greeting/", ["greeting/1"]),
        ("versions get missing@", []),
    ],
)
def test_versions_aliases_and_stages_complete(words: str, offered: list[str]) -> None:
    """Wherever a command wants one."""
    assert _complete(words) == offered
