"""`regctl models`: what each command does to the registry, and what it shows."""

from __future__ import annotations

import pytest

from cli.invoking import Regctl


def test_create_shows_the_new_model(cli: Regctl) -> None:
    """A model is created with its description and every tag that was given."""
    shown = cli.json(
        "models",
        "create",
        "churn",
        "--description",
        "who leaves",
        "--tag",
        "team=risk",
        "--tag",
        "a=b=c",
    )["registered_model"]
    assert shown["name"] == "churn"
    assert shown["description"] == "who leaves"
    assert shown["tags"] == [{"key": "a", "value": "b=c"}, {"key": "team", "value": "risk"}]


def test_create_refuses_a_name_that_is_taken(churn: Regctl) -> None:
    """Creating a model twice is a conflict, told in one line."""
    result = churn.run("models", "create", "churn")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert result.stderr == "Error: Registered Model (name=churn) already exists.\n"


def test_create_refuses_a_tag_without_a_value(cli: Regctl) -> None:
    """A word that is not KEY=VALUE is a usage error, and nothing is created."""
    result = cli.run("models", "create", "churn", "--tag", "team")
    assert result.exit_code == 2
    assert "'team' is not KEY=VALUE." in result.stderr
    assert cli.names("models", "list") == []


def test_get_shows_everything_about_a_model(churn: Regctl) -> None:
    """A record names the description, tags, aliases and latest versions."""
    lines = churn.ok("models", "get", "churn").splitlines()
    assert [
        line.split(maxsplit=1) for line in lines if not line.startswith(("created", "updated"))
    ] == [
        ["name", "churn"],
        ["description", "who leaves"],
        ["tags", "team=risk"],
        ["aliases", "champion=2"],
        ["latest", "versions  3 (None)"],
    ]


def test_get_of_a_missing_model_exits_with_3(cli: Regctl) -> None:
    """A script can tell a missing model from any other failure."""
    result = cli.run("models", "get", "churn")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "Error: Registered Model with name=churn not found\n"


def test_list_filters_and_orders(cli: Regctl) -> None:
    """The filter and every order are passed on."""
    for name, team in (("a", "risk"), ("b", "sales"), ("c", "risk")):
        cli.ok("models", "create", name, "--tag", f"team={team}")
    assert cli.names("models", "list") == ["a", "b", "c"]
    assert cli.names("models", "list", "--filter", "tags.team = 'risk'") == ["a", "c"]
    assert cli.names("models", "list", "--order-by", "name DESC") == ["c", "b", "a"]


def test_list_reads_every_page(cli: Regctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list does not end where a page does, and a limit does not read on."""
    for number in range(7):
        cli.ok("models", "create", f"m{number}")
    monkeypatch.setattr("registry_cli.models.PAGE_SIZE", 3)
    assert cli.names("models", "list") == [f"m{number}" for number in range(7)]
    assert cli.names("models", "list", "--limit", "5") == [f"m{number}" for number in range(5)]


def test_update_changes_and_erases_the_description(churn: Regctl) -> None:
    """An empty text erases the description."""
    shown = churn.json("models", "update", "churn", "--description", "new")
    assert shown["registered_model"]["description"] == "new"
    shown = churn.json("models", "update", "churn", "--description", "")
    assert "description" not in shown["registered_model"]


def test_rename_keeps_versions_and_aliases(churn: Regctl) -> None:
    """A renamed model has all it had."""
    assert churn.names("models", "rename", "churn", "attrition") == ["attrition"]
    assert churn.names("versions", "get", "models:/attrition@champion") == ["models:/attrition/2"]
    assert churn.run("models", "get", "churn").exit_code == 3


def test_delete_without_a_terminal_needs_yes(churn: Regctl) -> None:
    """Nothing is deleted by a script that did not say --yes."""
    result = churn.run("models", "delete", "churn", text="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert churn.names("models", "list") == ["churn"]


@pytest.mark.parametrize("yes", ["--yes", "-y"])
def test_delete_with_yes_deletes(churn: Regctl, yes: str) -> None:
    """The notice goes to stderr, so that stdout holds data only."""
    result = churn.run("models", "delete", "churn", yes)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Deleted registered model 'churn'.\n"
    assert churn.names("models", "list") == []


def test_tag_and_untag_take_several(churn: Regctl) -> None:
    """Tags are set and removed in one command, absent ones without complaint."""
    said = churn.says("models", "tag", "churn", "tier=1", "team=sales", "empty=")
    assert said == "Set tags 'tier', 'team', 'empty' of registered model 'churn'.\n"
    tags = churn.json("models", "get", "churn")["registered_model"]["tags"]
    assert tags == [
        {"key": "empty", "value": ""},
        {"key": "team", "value": "sales"},
        {"key": "tier", "value": "1"},
    ]
    churn.says("models", "untag", "churn", "tier", "team", "never-there")
    tags = churn.json("models", "get", "churn")["registered_model"]["tags"]
    assert tags == [{"key": "empty", "value": ""}]


@pytest.mark.parametrize("version", ["3", "models:/churn/3", "models:/churn/latest"])
def test_alias_takes_a_number_or_a_uri(churn: Regctl, version: str) -> None:
    """An alias moves to the version, however that is written."""
    churn.says("models", "alias", "churn", "champion", version)
    assert churn.names("versions", "get", "models:/churn@champion") == ["models:/churn/3"]


def test_alias_promotes_another_alias(churn: Regctl) -> None:
    """The version that one alias names can be given another."""
    churn.says("models", "alias", "churn", "challenger", "3")
    churn.says("models", "alias", "churn", "champion", "models:/churn@challenger")
    assert churn.names("versions", "get", "models:/churn@champion") == ["models:/churn/3"]


def test_alias_refuses_a_version_of_another_model(churn: Regctl) -> None:
    """The two names of a model that differ are a mistake, not a choice."""
    result = churn.run("models", "alias", "churn", "champion", "models:/other/1")
    assert result.exit_code == 2
    assert "'models:/other/1' is not a version of 'churn'" in result.stderr


def test_unalias_removes_the_alias(churn: Regctl) -> None:
    """Removing it twice is no error."""
    churn.says("models", "unalias", "churn", "champion")
    churn.says("models", "unalias", "churn", "champion")
    assert churn.run("versions", "get", "models:/churn@champion").exit_code == 3
