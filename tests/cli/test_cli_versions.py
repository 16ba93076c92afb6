"""`regctl versions`: what each command does to the registry, and what it shows."""

from __future__ import annotations

import pytest

from cli.invoking import Regctl

THE_SECOND = [
    ["churn", "2"],
    ["models:/churn/2"],
    ["models:/churn@champion"],
]
"""Every way to write the version that the alias `champion` names."""


def test_create_numbers_versions_in_order(churn: Regctl) -> None:
    """A version gets the next number and all that was said about it."""
    shown = churn.json(
        "versions", "create", "churn", "s3://bucket/m", "--run-id", "r1", "--run-link", "http://x/r1",
        "--model-id", "m-1", "--description", "better", "--tag", "auc=0.9",
    )["model_version"]  # fmt: skip
    expected = {
        "version": "4",
        "source": "s3://bucket/m",
        "run_id": "r1",
        "run_link": "http://x/r1",
        "model_id": "m-1",
        "description": "better",
        "tags": [{"key": "auc", "value": "0.9"}],
    }
    assert {key: shown.get(key) for key in expected} == expected


def test_create_resolves_a_models_uri(churn: Regctl) -> None:
    """A version copied by alias names the version it was made from, and finds its bytes."""
    churn.ok("models", "create", "production")
    shown = churn.json("versions", "create", "production", "models:/churn@champion")
    assert shown["model_version"]["source"] == "models:/churn/2"
    uri = churn.ok("versions", "download-uri", "production", "1")
    assert uri == "s3://bucket/churn/2\n"


@pytest.mark.parametrize("version", THE_SECOND)
def test_get_takes_every_way_to_write_a_version(churn: Regctl, version: list[str]) -> None:
    """Name and number, URI with number, URI with alias: the same version."""
    assert churn.names("versions", "get", *version) == ["models:/churn/2"]


def test_get_shows_everything_about_a_version(churn: Regctl) -> None:
    """A record holds what was given at creation, and what happened since."""
    shown = dict(
        line.split("  ", 1) for line in churn.ok("versions", "get", "churn", "2").splitlines()
    )
    values = {key: value.strip() for key, value in shown.items()}
    for key in ("created", "updated"):
        assert values.pop(key).endswith("Z")
    assert values == {
        "name": "churn",
        "version": "2",
        "stage": "None",
        "status": "READY",
        "source": "s3://bucket/churn/2",
        "run id": "r2",
        "aliases": "champion",
    }


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["churn"], 2, "Which version of 'churn'?"),
        (["churn", "x"], 2, "Parameter 'version' must be an integer, got 'x'."),
        (["churn", "9"], 3, "Model Version (name=churn, version=9) not found"),
        (["models:/churn/9"], 3, "Model Version (name=churn, version=9) not found"),
        (["models:/churn@nobody"], 3, "Registered model alias nobody not found."),
        (["models:/none/latest"], 3, "Registered Model with name=none not found"),
        (["models:/churn"], 2, "Not a proper models:/ URI"),
        (["models:/churn/2", "3"], 2, "Got an unexpected argument '3'."),
        (["churn", "2", "3"], 2, "Got an unexpected argument '3'."),
        ([], 2, "Missing argument"),
    ],
)
def test_get_of_what_is_no_version_says_why(
    churn: Regctl, words: list[str], code: int, complaint: str
) -> None:
    """A mistake in writing exits with 2, a version that does not exist with 3."""
    result = churn.run("versions", "get", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr


def test_list_of_one_model(churn: Regctl) -> None:
    """A name narrows the list, also together with a filter."""
    churn.ok("models", "create", "other")
    churn.ok("versions", "create", "other", "s3://bucket/other", "--run-id", "r1")
    by_number = ("--order-by", "name", "--order-by", "version_number")
    assert churn.names("versions", "list", *by_number) == [
        "models:/churn/1", "models:/churn/2", "models:/churn/3", "models:/other/1",
    ]  # fmt: skip
    assert churn.names("versions", "list", "other") == ["models:/other/1"]
    assert churn.names("versions", "list", "churn", "--filter", "run_id = 'r1'") == [
        "models:/churn/1"
    ]
    assert churn.names("versions", "list", "--filter", "run_id = 'r1'", *by_number) == [
        "models:/churn/1", "models:/other/1",
    ]  # fmt: skip
    assert len(churn.names("versions", "list", "--limit", "2")) == 2


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', """both ' and ".""", "back\\slash", "back\\' mix", "n\new", "é"]
)
def test_list_of_a_model_with_an_awkward_name(cli: Regctl, name: str) -> None:
    """Any legal name can be asked for; no quote in it ends the filter."""
    for model in (name, "other"):
        cli.ok("models", "create", model)
        cli.ok("versions", "create", model, "s3://bucket/m")
    shown = cli.json("versions", "list", name)["model_versions"]
    assert [version["name"] for version in shown] == [name]


def test_update_changes_the_description(churn: Regctl) -> None:
    """The version is shown as it is now."""
    shown = churn.json("versions", "update", "models:/churn@champion", "--description", "new")
    assert shown["model_version"]["description"] == "new"
    assert shown["model_version"]["version"] == "2"


def test_update_needs_a_description(churn: Regctl) -> None:
    """A command that would change nothing is a mistake; nothing is erased by it."""
    result = churn.run("versions", "update", "churn", "2")
    assert result.exit_code == 2
    assert "--description" in result.stderr


@pytest.mark.parametrize("version", THE_SECOND)
def test_delete_needs_yes_and_deletes_one_version(churn: Regctl, version: list[str]) -> None:
    """The others stay, and the number is not used again."""
    assert churn.run("versions", "delete", *version).exit_code == 2
    result = churn.run("versions", "delete", *version, "--yes")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Deleted version 2 of registered model 'churn'.\n"
    assert sorted(churn.names("versions", "list", "churn")) == [
        "models:/churn/1",
        "models:/churn/3",
    ]
    assert churn.names("versions", "create", "churn", "s3://bucket/m") == ["models:/churn/4"]


def test_transition_moves_and_archives(churn: Regctl) -> None:
    """With the flag, the version that was there moves to Archived."""
    churn.ok("versions", "transition", "churn", "1", "production")
    shown = churn.json(
        "versions", "transition", "models:/churn/2", "Production", "--archive-existing-versions"
    )
    assert shown["model_version"]["current_stage"] == "Production"
    first = churn.json("versions", "get", "churn", "1")["model_version"]
    assert first["current_stage"] == "Archived"


def test_transition_to_an_unknown_stage_is_refused(churn: Regctl) -> None:
    """The message names the stages."""
    result = churn.run("versions", "transition", "churn", "1", "live")
    assert result.exit_code == 2
    assert "None, Staging, Production, Archived" in result.stderr


def test_transition_without_a_stage_is_refused(churn: Regctl) -> None:
    """The missing word is named."""
    result = churn.run("versions", "transition", "models:/churn/1")
    assert result.exit_code == 2
    assert "Missing argument 'STAGE'." in result.stderr


@pytest.mark.parametrize("version", THE_SECOND)
def test_tag_and_untag_take_several(churn: Regctl, version: list[str]) -> None:
    """Everything after the version is a tag."""
    churn.says("versions", "tag", *version, "auc=0.9", "note=a b")
    shown = churn.json("versions", "get", *version)["model_version"]
    assert shown["tags"] == [{"key": "auc", "value": "0.9"}, {"key": "note", "value": "a b"}]
    churn.says("versions", "untag", *version, "auc", "note")
    assert "tags" not in churn.json("versions", "get", *version)["model_version"]


def test_tag_changes_nothing_if_one_is_malformed(churn: Regctl) -> None:
    """All words are read before any tag is set."""
    result = churn.run("versions", "tag", "churn", "2", "a=b", "oops")
    assert result.exit_code == 2
    assert "'oops' is not KEY=VALUE." in result.stderr
    assert "tags" not in churn.json("versions", "get", "churn", "2")["model_version"]


def test_download_uri_in_every_format(churn: Regctl) -> None:
    """The bare URI for people and shells, the wire's object for programs."""
    words = ("versions", "download-uri", "models:/churn@champion")
    assert churn.ok(*words) == "s3://bucket/churn/2\n"
    assert churn.ok("-o", "name", *words) == "s3://bucket/churn/2\n"
    assert churn.json(*words) == {"artifact_uri": "s3://bucket/churn/2"}
    assert churn.ok("-o", "jsonl", *words) == '{"artifact_uri": "s3://bucket/churn/2"}\n'


def test_latest_lists_the_newest_of_each_stage(churn: Regctl) -> None:
    """Stages can be chosen."""
    churn.ok("versions", "transition", "churn", "1", "Staging")
    assert churn.names("versions", "latest", "churn") == ["models:/churn/3", "models:/churn/1"]
    assert churn.names("versions", "latest", "churn", "--stage", "staging") == ["models:/churn/1"]
    assert churn.names("versions", "latest", "churn", "--stage", "Archived") == []


def test_name_and_alias_will_do_before_more_words(churn: Regctl) -> None:
    """What follows `NAME@ALIAS` is no number, and so not the version of a model of that name."""
    churn.says("versions", "tag", "churn@champion", "auc=0.9")
    shown = churn.json("versions", "transition", "churn@champion", "Staging")
    assert shown["model_version"]["version"] == "2"
    assert shown["model_version"]["tags"] == [{"key": "auc", "value": "0.9"}]


def test_a_name_with_an_at_sign_may_have_a_number(cli: Regctl) -> None:
    """Names may hold `@`: a number behind one is the version's."""
    cli.ok("models", "create", "a@b")
    cli.ok("versions", "create", "a@b", "s3://bucket/1")
    cli.says("versions", "tag", "a@b", "1", "k=v")
    assert cli.names("versions", "get", "a@b", "1") == ["models:/a@b/1"]


def test_a_bad_filter_of_one_model_is_blamed_on_the_filter(churn: Regctl) -> None:
    """The caret points into the user's text, not at what the name adds to it."""
    result = churn.run("versions", "list", "churn", "--filter", "run_id = r1")
    assert result.exit_code == 2
    shown, carets = result.stderr.splitlines()[-2:]
    assert shown[carets.index("^") :] == "r1"
