"""Registered models through MLflow's client: fields, order, errors."""

from __future__ import annotations

import re
import time

import pytest

from services.acceptance import Recorded, failure, invalid, missing, no_model, no_version


@pytest.mark.covers("MlflowClient.create_registered_model")
def test_create_registered_model_returns_what_was_given(client: Recorded, name: str) -> None:
    """Name, description, tags and both timestamps come back; nothing else is set."""
    before = time.time_ns() // 1_000_000
    made = client.create_registered_model(name, {"team": "risk", "blank": ""}, "first\nline")
    after = time.time_ns() // 1_000_000

    assert (made.name, made.description) == (name, "first\nline")
    assert made.tags == {"team": "risk", "blank": ""}
    assert before <= made.creation_timestamp == made.last_updated_timestamp <= after
    assert (made.latest_versions, made.aliases) == ([], {})


@pytest.mark.covers("MlflowClient.create_registered_model")
@pytest.mark.parametrize("taken_by", ["model", "prompt"])
def test_create_registered_model_refuses_a_taken_name(
    client: Recorded, name: str, taken_by: str
) -> None:
    """A model of that name, and a prompt of that name, each have their own sentence."""
    if taken_by == "model":
        client.create_registered_model(name)
        message = f"Registered Model (name={name}) already exists."
    else:
        client.create_prompt(name)
        message = (
            f"Tried to create a registered model with name '{name}', but the name is already "
            "taken by a prompt. MLflow does not allow creating a model and a prompt with the "
            "same name."
        )
    with failure("RESOURCE_ALREADY_EXISTS", message):
        client.create_registered_model(name)


@pytest.mark.covers("MlflowClient.create_registered_model")
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ("a:b", "Invalid model name 'a:b'. Names cannot contain '/' or ':'."),
        ("  ", "Missing value for required parameter 'name'."),
        (
            "..",
            (
                "Invalid value \"..\" for parameter 'name' supplied: Names may be treated as files "
                "in certain cases, and must not resolve to other names when treated as such. This "
                "name would resolve to '..'"
            ),
        ),
    ],
)
def test_create_registered_model_refuses_an_illegal_name(
    client: Recorded, bad: str, message: str
) -> None:
    """Each illegal name is refused with MLflow's sentence."""
    with invalid(message):
        client.create_registered_model(bad)


@pytest.mark.covers("MlflowClient.create_registered_model")
def test_create_registered_model_takes_any_other_text_as_a_name(
    client: Recorded, name: str
) -> None:
    """Spaces, quotes, wildcards and any alphabet make names, and case tells them apart."""
    names = [f"{name} {text}" for text in ("'q' \"d\"", "%_\\", "模型 é", "&a=b?#", "\U0001f680")]
    for each in (*names, name.upper(), name):
        client.create_registered_model(each)
    for each in (*names, name.upper(), name):
        assert client.get_registered_model(each).name == each


@pytest.mark.covers("MlflowClient.get_registered_model", "MlflowClient.create_model_version")
def test_get_registered_model_shows_latest_versions_and_aliases(
    client: Recorded, name: str
) -> None:
    """The newest version of each stage, with tags, and every alias of the model."""
    client.create_registered_model(name)
    for number in (1, 2, 3, 4):
        client.create_model_version(name, "s3://b/p", tags={"n": number})
    client.transition_model_version_stage(name, 1, "Production")
    client.transition_model_version_stage(name, 2, "Production")
    client.transition_model_version_stage(name, 3, "Staging")
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "first", "1")

    model = client.get_registered_model(name)

    latest = {version.current_stage: version for version in model.latest_versions}
    assert {stage: version.version for stage, version in latest.items()} == {
        "None": "4",
        "Production": "2",
        "Staging": "3",
    }
    assert latest["Production"].tags == {"n": "2"}
    assert latest["Production"].source == "s3://b/p"
    assert model.aliases == {"champion": "2", "first": "1"}
    assert model.last_updated_timestamp == latest["Staging"].last_updated_timestamp


@pytest.mark.covers("MlflowClient.get_registered_model")
def test_get_registered_model_names_what_is_missing(client: Recorded, name: str) -> None:
    """A missing model is RESOURCE_DOES_NOT_EXIST, an empty name a missing parameter."""
    with no_model(name):
        client.get_registered_model(name)
    with missing("name"):
        client.get_registered_model("")


@pytest.mark.covers("MlflowClient.update_registered_model")
def test_update_registered_model_replaces_the_description(client: Recorded, name: str) -> None:
    """The new description is returned and kept; the last update moves, the creation does not."""
    made = client.create_registered_model(name, description="old")
    changed = client.update_registered_model(name, "new")
    assert changed.description == "new"
    assert changed.creation_timestamp == made.creation_timestamp
    assert changed.last_updated_timestamp >= made.last_updated_timestamp
    assert dict(client.get_registered_model(name)) == dict(changed)


@pytest.mark.covers("MlflowClient.update_registered_model")
def test_update_registered_model_without_description_erases_it(client: Recorded, name: str) -> None:
    """As on MLflow, an update that gives no description removes the one there was."""
    client.create_registered_model(name, description="old")
    client.update_registered_model(name)
    assert not client.get_registered_model(name).description
    with no_model(f"{name}x"):
        client.update_registered_model(f"{name}x", "d")


@pytest.mark.covers("MlflowClient.rename_registered_model")
def test_rename_registered_model_takes_everything_along(client: Recorded, name: str) -> None:
    """Versions, tags and aliases are there under the new name, and nothing under the old one."""
    new_name = f"{name}-renamed"
    client.create_registered_model(name, {"a": "1"}, "d")
    for _ in range(3):
        client.create_model_version(name, "s3://b/p", tags={"k": "v"})
    client.delete_model_version(name, "2")
    client.set_registered_model_alias(name, "al", "3")

    client.rename_registered_model(name, new_name)
    renamed = client.get_registered_model(new_name)

    assert (renamed.name, renamed.description, renamed.tags) == (new_name, "d", {"a": "1"})
    version = client.get_model_version_by_alias(new_name, "al")
    assert (version.name, version.version, version.tags) == (new_name, "3", {"k": "v"})
    assert version.last_updated_timestamp == renamed.last_updated_timestamp
    assert [v.version for v in client.search_model_versions(f"name = '{new_name}'")] == ["3", "1"]
    assert client.create_model_version(new_name, "s3://b/p").version == "4"
    with no_model(name):
        client.get_registered_model(name)


@pytest.mark.covers("MlflowClient.rename_registered_model")
def test_rename_registered_model_refuses_a_taken_name(client: Recorded, name: str) -> None:
    """Both models stay as they were."""
    taken = f"{name}-taken"
    client.create_registered_model(name, description="one")
    client.create_registered_model(taken, description="two")
    # MLflow follows its sentence with the SQL that failed.
    sentence = re.compile(rf"Registered Model \(name={taken}\) already exists\.")
    with failure("RESOURCE_ALREADY_EXISTS", sentence):
        client.rename_registered_model(name, taken)
    assert client.get_registered_model(name).description == "one"
    assert client.get_registered_model(taken).description == "two"


@pytest.mark.covers("MlflowClient.rename_registered_model")
def test_rename_registered_model_checks_both_names(client: Recorded, name: str) -> None:
    """The old name must exist and the new one be legal; the same name is no error."""
    with no_model(name):
        client.rename_registered_model(name, f"{name}2")
    client.create_registered_model(name)
    with invalid("Invalid model name 'a/b'. Names cannot contain '/' or ':'."):
        client.rename_registered_model(name, "a/b")
    client.rename_registered_model(name, name)
    assert client.get_registered_model(name).name == name


@pytest.mark.covers("MlflowClient.delete_registered_model")
def test_delete_registered_model_removes_everything(client: Recorded, name: str) -> None:
    """A model of the same name starts afresh: no tags, no aliases, versions from 1."""
    client.create_registered_model(name, {"a": "1"}, "d")
    client.create_model_version(name, "s3://b/p", tags={"k": "v"})
    client.create_model_version(name, "s3://b/p")
    client.set_registered_model_alias(name, "al", "1")
    client.delete_registered_model(name)
    with no_model(name):
        client.get_registered_model(name)
    with no_model(name):
        client.delete_registered_model(name)
    assert list(client.search_model_versions(f"name = '{name}'")) == []

    again = client.create_registered_model(name)
    assert (again.description, again.tags, again.aliases) in (("", {}, {}), (None, {}, {}))
    version = client.create_model_version(name, "s3://b/p")
    assert (version.version, version.tags, version.aliases) == ("1", {}, [])


@pytest.mark.covers(
    "MlflowClient.set_registered_model_tag", "MlflowClient.delete_registered_model_tag"
)
def test_registered_model_tags_are_set_replaced_and_deleted(client: Recorded, name: str) -> None:
    """Values become texts, and tags move no timestamp; deleting an absent tag is no error."""
    made = client.create_registered_model(name, {"keep": "1"})
    client.set_registered_model_tag(name, "some/key.with: all-legal_chars é", 3)
    client.set_registered_model_tag(name, "k", "old")
    client.set_registered_model_tag(name, "k", "new 'quoted' \U0001f680")
    client.set_registered_model_tag(name, "gone", "x")
    client.delete_registered_model_tag(name, "gone")
    client.delete_registered_model_tag(name, "never there")

    model = client.get_registered_model(name)
    assert model.tags == {
        "keep": "1",
        "some/key.with: all-legal_chars é": "3",
        "k": "new 'quoted' \U0001f680",
    }
    assert model.last_updated_timestamp == made.last_updated_timestamp


@pytest.mark.covers(
    "MlflowClient.set_registered_model_tag", "MlflowClient.delete_registered_model_tag"
)
def test_registered_model_tags_are_checked(client: Recorded, name: str) -> None:
    """A missing model, an illegal key and an oversized key are refused with MLflow's sentences."""
    with no_model(name):
        client.set_registered_model_tag(name, "k", "v")
    with no_model(name):
        client.delete_registered_model_tag(name, "k")
    client.create_registered_model(name)
    message = (
        "Invalid value \"a*b\" for parameter 'key' supplied: Names may only contain "
        "alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
        "slashes (/)."
    )
    with invalid(message):
        client.set_registered_model_tag(name, "a*b", "v")
    with invalid(message):
        client.delete_registered_model_tag(name, "a*b")
    with invalid("'key' exceeds the maximum length of 250 characters"):
        client.set_registered_model_tag(name, "k" * 251, "v")
    assert client.get_registered_model(name).tags == {}


@pytest.mark.covers(
    "MlflowClient.set_registered_model_alias",
    "MlflowClient.get_model_version_by_alias",
    "MlflowClient.delete_registered_model_alias",
)
def test_aliases_point_move_and_go(client: Recorded, name: str) -> None:
    """An alias names one version, a version has many; they move no timestamp."""
    made = client.create_registered_model(name)
    for _ in range(2):
        made = client.create_model_version(name, "s3://b/p")
    client.set_registered_model_alias(name, "champion", "1")
    client.set_registered_model_alias(name, "2024-é", 1)
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "Champion", "1")

    assert client.get_registered_model(name).aliases == {
        "Champion": "1",
        "champion": "2",
        "2024-é": "1",
    }
    assert client.get_model_version_by_alias(name, "champion").version == "2"
    assert sorted(client.get_model_version(name, "1").aliases) == ["2024-é", "Champion"]
    assert client.get_model_version(name, "2").last_updated_timestamp == made.creation_timestamp

    client.delete_registered_model_alias(name, "champion")
    client.delete_registered_model_alias(name, "champion")
    assert client.get_model_version(name, "2").aliases == []
    with invalid("Registered model alias champion not found."):
        client.get_model_version_by_alias(name, "champion")


@pytest.mark.covers("MlflowClient.get_model_version_by_alias")
def test_alias_latest_is_the_highest_version(client: Recorded, name: str) -> None:
    """`latest`, in any case, is the highest version that still exists, whatever its stage."""
    client.create_registered_model(name)
    with failure("RESOURCE_DOES_NOT_EXIST", f"Latest version not found for model {name}."):
        client.get_model_version_by_alias(name, "latest")
    for _ in range(3):
        client.create_model_version(name, "s3://b/p")
    client.transition_model_version_stage(name, "2", "Archived")
    client.delete_model_version(name, "3")
    assert client.get_model_version_by_alias(name, "latest").version == "2"
    assert client.get_model_version_by_alias(name, "LaTeSt").version == "2"


@pytest.mark.covers(
    "MlflowClient.set_registered_model_alias", "MlflowClient.delete_registered_model_alias"
)
def test_aliases_are_checked(client: Recorded, name: str) -> None:
    """Reserved and illegal aliases, missing versions and models each have their own error."""
    with no_model(name):
        client.set_registered_model_alias(name, "a", "1")
    with no_model(name):
        client.delete_registered_model_alias(name, "a")
    client.create_registered_model(name)
    with no_version(name, 1):
        client.set_registered_model_alias(name, "a", "1")
    client.create_model_version(name, "s3://b/p")
    refused = {
        "latest": "'latest' alias name (case insensitive) is reserved.",
        "v12": "Version alias name 'v12' is reserved.",
        "a b": "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores "
        "(_), and dashes (-).",
        "a" * 256: "'Registered model alias name' exceeds the maximum length of 255 characters",
    }
    for alias, message in refused.items():
        with invalid(message):
            client.set_registered_model_alias(name, alias, "1")
    with invalid("Parameter 'version' must be an integer, got 'one'."):
        client.set_registered_model_alias(name, "a", "one")
    assert client.get_registered_model(name).aliases == {}
