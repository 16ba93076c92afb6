"""Model versions through MLflow's client: fields, stages, tags, sources, errors."""

from __future__ import annotations

import time

import pytest

from services.acceptance import Recorded, invalid, no_model, no_version

STAGES = ["None", "Staging", "Production", "Archived"]


@pytest.fixture
def model(client: Recorded, name: str) -> str:
    """The name of a registered model."""
    client.create_registered_model(name)
    return name


@pytest.mark.covers("MlflowClient.create_model_version", "MlflowClient.get_model_version")
def test_create_model_version_returns_what_was_given(client: Recorded, model: str) -> None:
    """Every field comes back from the creation, and again from a read."""
    before = time.time_ns() // 1_000_000
    made = client.create_model_version(
        model,
        "s3://bucket/a path//with?query#fragment",
        run_id="0123456789abcdef0123456789abcdef",
        tags={"k": "v", "n": 7},
        run_link="https://example.com/run/1",
        description="d\u00e9scription",
    )
    after = time.time_ns() // 1_000_000

    assert (made.name, made.version, made.current_stage) == (model, "1", "None")
    assert made.source == "s3://bucket/a path//with?query#fragment"
    assert made.run_id == "0123456789abcdef0123456789abcdef"
    assert made.run_link == "https://example.com/run/1"
    assert made.description == "d\u00e9scription"
    assert made.tags == {"k": "v", "n": "7"}
    assert (made.status, made.status_message or "", made.user_id or "") == ("READY", "", "")
    assert made.aliases == []
    assert before <= made.creation_timestamp == made.last_updated_timestamp <= after
    assert dict(client.get_model_version(model, "1")) == dict(made)
    assert dict(client.get_model_version(model, 1)) == dict(made)
    assert client.get_registered_model(model).last_updated_timestamp == made.creation_timestamp


@pytest.mark.covers("MlflowClient.create_model_version")
def test_create_model_version_counts_and_reuses_no_number(client: Recorded, model: str) -> None:
    """Numbers go up by one, and a deleted version's number is not given again."""
    assert [client.create_model_version(model, "s3://b/p").version for _ in range(3)] == [
        "1",
        "2",
        "3",
    ]
    client.delete_model_version(model, "3")
    assert client.create_model_version(model, "s3://b/p").version == "4"


@pytest.mark.covers("MlflowClient.create_model_version")
def test_create_model_version_checks_model_and_source(client: Recorded, name: str) -> None:
    """A missing model, a path on somebody's disk and a path that climbs are refused."""
    with no_model(name):
        client.create_model_version(name, "s3://b/p")
    client.create_registered_model(name)
    for local in ("/etc", "file:///etc/passwd", "relative/path"):
        with invalid(
            f"Invalid model version source: '{local}'. To use a local path as a model version "
            "source, the run_id request parameter has to be specified and the local path has to "
            "be contained within the artifact directory of the run specified by the run_id."
        ):
            client.create_model_version(name, local)
    for climbing in ("s3://b/a/../../c", "s3://b/%2e%2e/c", "s3://b"):
        with invalid(
            f"Invalid model version source: '{climbing}'. If supplying a source as an http, "
            "https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path "
            "must be provided without relative path references present. Please provide an "
            "absolute path."
        ):
            client.create_model_version(name, climbing)
    assert client.get_registered_model(name).latest_versions == []


@pytest.mark.covers("MlflowClient.get_model_version")
def test_get_model_version_names_what_is_missing(client: Recorded, model: str) -> None:
    """A missing version, one that was deleted and one that is no number differ."""
    client.create_model_version(model, "s3://b/p")
    client.delete_model_version(model, "1")
    for version in ("1", "2", "0", "-1"):
        with no_version(model, version):
            client.get_model_version(model, version)
    with invalid("Parameter 'version' must be an integer, got 'one'."):
        client.get_model_version(model, "one")


@pytest.mark.covers("MlflowClient.update_model_version")
def test_update_model_version_replaces_the_description(client: Recorded, model: str) -> None:
    """The version's last update moves, the model's does not."""
    made = client.create_model_version(model, "s3://b/p", description="old")
    before = client.get_registered_model(model).last_updated_timestamp
    changed = client.update_model_version(model, "1", "new")
    assert (changed.description, changed.source) == ("new", "s3://b/p")
    assert changed.last_updated_timestamp >= made.last_updated_timestamp
    assert client.get_registered_model(model).last_updated_timestamp == before
    client.update_model_version(model, "1", "")
    assert client.get_model_version(model, "1").description == ""
    with no_version(model, "2"):
        client.update_model_version(model, "2", "d")


@pytest.mark.covers("MlflowClient.delete_model_version")
def test_delete_model_version_hides_it_and_its_aliases(client: Recorded, model: str) -> None:
    """The version is gone from every read, with its aliases; the others stay."""
    for _ in range(2):
        client.create_model_version(model, "s3://b/p", tags={"k": "v"})
    client.set_registered_model_alias(model, "a", "2")
    client.set_registered_model_alias(model, "b", "1")
    client.delete_model_version(model, "2")
    with no_version(model, "2"):
        client.get_model_version(model, "2")
    with no_version(model, "2"):
        client.delete_model_version(model, "2")
    registered = client.get_registered_model(model)
    assert [version.version for version in registered.latest_versions] == ["1"]
    assert registered.aliases == {"b": "1"}
    assert [v.version for v in client.search_model_versions(f"name = '{model}'")] == ["1"]
    with invalid("Registered model alias a not found."):
        client.get_model_version_by_alias(model, "a")


@pytest.mark.covers("MlflowClient.transition_model_version_stage")
def test_transition_archives_the_others_when_told_to(client: Recorded, model: str) -> None:
    """Only with `archive_existing_versions` do the others leave the stage."""
    for _ in range(3):
        client.create_model_version(model, "s3://b/p")
    for version in ("1", "2"):
        client.transition_model_version_stage(model, version, "production")
    stages = [client.get_model_version(model, v).current_stage for v in ("1", "2", "3")]
    assert stages == ["Production", "Production", "None"]

    moved = client.transition_model_version_stage(
        model, "3", "PRODUCTION", archive_existing_versions=True
    )

    assert (moved.version, moved.current_stage) == ("3", "Production")
    versions = [client.get_model_version(model, v) for v in ("1", "2", "3")]
    assert [v.current_stage for v in versions] == ["Archived", "Archived", "Production"]
    assert {v.last_updated_timestamp for v in versions} == {moved.last_updated_timestamp}
    registered = client.get_registered_model(model)
    assert registered.last_updated_timestamp == moved.last_updated_timestamp


@pytest.mark.covers("MlflowClient.transition_model_version_stage")
def test_transition_checks_stage_and_version(client: Recorded, model: str) -> None:
    """An unknown stage and a missing version are refused."""
    client.create_model_version(model, "s3://b/p")
    with invalid(
        "Invalid Model Version stage: Live. Value must be one of None, Staging, Production, "
        "Archived."
    ):
        client.transition_model_version_stage(model, "1", "Live")
    with no_version(model, "2"):
        client.transition_model_version_stage(model, "2", "Staging")
    assert client.get_model_version(model, "1").current_stage == "None"


@pytest.mark.covers("MlflowClient.get_latest_versions", "MlflowClient.get_model_version_stages")
def test_get_latest_versions_is_the_newest_of_each_stage(client: Recorded, model: str) -> None:
    """All four stages unless some are asked for; tags and aliases come along."""
    for number in range(1, 6):
        client.create_model_version(model, f"s3://b/{number}", tags={"n": number})
    for version, stage in (("1", "Archived"), ("2", "Production"), ("3", "Production")):
        client.transition_model_version_stage(model, version, stage)
    client.set_registered_model_alias(model, "champion", "3")

    def latest(stages: list[str] | None = None) -> dict[str, str]:
        found = client.get_latest_versions(model, stages)
        return {version.current_stage: version.version for version in found}

    assert latest() == {"None": "5", "Production": "3", "Archived": "1"}
    assert latest(["production", "Production", "Staging"]) == {"Production": "3"}
    assert latest(["Staging"]) == {}
    [production] = client.get_latest_versions(model, ["Production"])
    assert (production.tags, production.aliases) == ({"n": "3"}, ["champion"])
    assert client.get_model_version_stages(model, "1") == STAGES
    with invalid(
        "Invalid Model Version stage: x. Value must be one of None, Staging, Production, Archived."
    ):
        client.get_latest_versions(model, ["x"])
    with no_model(f"{model}x"):
        client.get_latest_versions(f"{model}x")


@pytest.mark.covers("MlflowClient.set_model_version_tag", "MlflowClient.delete_model_version_tag")
def test_model_version_tags_are_set_replaced_and_deleted(client: Recorded, model: str) -> None:
    """By version or by stage; values become texts; no timestamp moves."""
    made = client.create_model_version(model, "s3://b/p", tags={"keep": ""})
    client.set_model_version_tag(model, "1", "k", "old")
    client.set_model_version_tag(model, "1", "k", {"a": 1})
    client.set_model_version_tag(model, "1", "gone", "x")
    client.delete_model_version_tag(model, "1", "gone")
    client.delete_model_version_tag(model, "1", "never there")
    version = client.get_model_version(model, "1")
    assert version.tags == {"keep": "", "k": "{'a': 1}"}
    assert version.last_updated_timestamp == made.last_updated_timestamp

    client.transition_model_version_stage(model, "1", "Staging")
    client.set_model_version_tag(model, key="staged", value="yes", stage="Staging")
    client.delete_model_version_tag(model, key="k", stage="Staging")
    assert client.get_model_version(model, "1").tags == {"keep": "", "staged": "yes"}


@pytest.mark.covers("MlflowClient.set_model_version_tag", "MlflowClient.delete_model_version_tag")
def test_model_version_tags_are_checked(client: Recorded, model: str) -> None:
    """A missing version, a path-like key and an oversized value are refused."""
    with no_version(model, "1"):
        client.set_model_version_tag(model, "1", "k", "v")
    with no_version(model, "1"):
        client.delete_model_version_tag(model, "1", "k")
    client.create_model_version(model, "s3://b/p")
    with invalid(
        "Invalid value \"a//b\" for parameter 'key' supplied: Names may be treated as files in "
        "certain cases, and must not resolve to other names when treated as such. This name "
        "would resolve to 'a/b'"
    ):
        client.set_model_version_tag(model, "1", "a//b", "v")
    client.set_model_version_tag(model, "1", "long", "x" * 100_000)
    with invalid("'value' exceeds the maximum length of 100000 characters"):
        client.set_model_version_tag(model, "1", "longer", "x" * 100_001)
    with invalid("Prompt text exceeds max length of 100000 characters."):
        client.set_model_version_tag(model, "1", "mlflow.prompt.text", "x" * 100_001)
    assert client.get_model_version(model, "1").tags == {"long": "x" * 100_000}


@pytest.mark.covers("MlflowClient.get_model_version_download_uri")
def test_download_uri_is_the_source(client: Recorded, model: str) -> None:
    """As it was given; a missing version has none."""
    client.create_model_version(model, "gs://b/p?x=1")
    assert client.get_model_version_download_uri(model, "1") == "gs://b/p?x=1"
    with no_version(model, "2"):
        client.get_model_version_download_uri(model, "2")


@pytest.mark.covers(
    "MlflowClient.copy_model_version", "MlflowClient.get_model_version_download_uri"
)
def test_copy_model_version_points_at_the_original_bytes(client: Recorded, model: str) -> None:
    """The source names the copied version; the bytes stay where they are, through any chain."""
    client.create_model_version(
        model, "s3://b/original", run_id="r1", tags={"k": "v"}, description="d", run_link="l"
    )
    client.set_registered_model_alias(model, "champion", "1")
    copied = client.copy_model_version(f"models:/{model}@champion", f"{model}-a")
    again = client.copy_model_version(f"models:/{model}-a/1", f"{model}-b")

    assert (copied.name, copied.version) == (f"{model}-a", "1")
    assert copied.source == f"models:/{model}/1"
    assert (copied.run_id, copied.run_link, copied.description) == ("r1", "l", "d")
    assert (copied.tags, copied.aliases) == ({"k": "v"}, [])
    assert again.source == f"models:/{model}-a/1"
    assert client.get_model_version_download_uri(f"{model}-b", "1") == "s3://b/original"
    client.delete_registered_model(model)
    assert client.get_model_version_download_uri(f"{model}-b", "1") == "s3://b/original"
    assert client.copy_model_version(f"models:/{model}-b/1", f"{model}-a").version == "2"


@pytest.mark.covers("MlflowClient.create_model_version")
def test_a_models_source_is_resolved_when_the_version_is_created(
    client: Recorded, model: str
) -> None:
    """By version, alias, `latest` or stage; the run id is inherited and must agree if given."""
    client.create_model_version(model, "s3://b/1", run_id="r1")
    client.create_model_version(model, "s3://b/2", run_id="r2")
    client.set_registered_model_alias(model, "first", "1")
    client.transition_model_version_stage(model, "1", "Staging")
    copies = f"{model}-copies"
    client.create_registered_model(copies)
    for reference, version in (
        ("/2", "2"),
        ("@first", "1"),
        ("/latest", "2"),
        ("@latest", "2"),
        ("/staging", "1"),
    ):
        made = client.create_model_version(copies, f"models:/{model}{reference}")
        assert (made.source, made.run_id) == (f"models:/{model}/{version}", f"r{version}")
    source = f"models:/{model}/1"
    with invalid(
        f"Invalid model version source: '{source}'. The run_id and model_id request parameters "
        "must match the referenced model version."
    ):
        client.create_model_version(copies, source, run_id="r2")
    with no_version(model, "9"):
        client.create_model_version(copies, f"models:/{model}/9")
    with no_model(f"{model}x"):
        client.create_model_version(copies, f"models:/{model}x/latest")
    with invalid("Registered model alias none not found."):
        client.create_model_version(copies, f"models:/{model}@none")
