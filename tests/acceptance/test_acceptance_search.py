"""Searches through MLflow's client: filters, orders, pages, errors."""

from __future__ import annotations

import re

import pytest

from services.acceptance import Recorded, invalid, wait_for_later_time

CLAUSE = re.compile(r"Invalid clause\(s\) in filter string")


@pytest.fixture
def models(client: Recorded, name: str) -> list[str]:
    """The names, in order, of five registered models with tags."""
    names = [f"{name}-{text}" for text in ("A", "B", "a", "b", "\u00e9")]
    for number, each in enumerate(names):
        client.create_registered_model(each, {"color": ["red", "blue"][number % 2], "n": number})
    return names


@pytest.fixture
def versions(client: Recorded, name: str) -> str:
    """The name of a registered model with twelve versions, of which the fourth is deleted.

    Each is created at a time of its own.
    """
    client.create_registered_model(name)
    for number in range(1, 13):
        wait_for_later_time()
        client.create_model_version(
            name,
            f"s3://b/Path{number}",
            run_id="even" if number % 2 == 0 else None,
            tags={"n": number, "parity": ["even", "odd"][number % 2]},
        )
    client.delete_model_version(name, "4")
    return name


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_filters(client: Recorded, name: str, models: list[str]) -> None:
    """Names and tags, by every operator that MLflow has; clauses are joined by AND."""

    def found(filter_string: str) -> list[str]:
        result = client.search_registered_models(f"{filter_string} AND name LIKE '{name}%'")
        return [model.name.removeprefix(f"{name}-") for model in result]

    assert found(f"name = '{models[2]}'") == ["a"]
    assert found(f"name != '{models[2]}'") == ["A", "B", "b", "\u00e9"]
    assert found("name LIKE '%-a'") == ["a"]
    assert found("name ILIKE '%-a'") == ["A", "a"]
    assert found(f"name IN ('{models[1]}', '{models[3]}', 'x')") == ["B", "b"]
    assert found("tags.color = 'red'") == ["A", "a", "\u00e9"]
    assert found("tag.color != \"red\" and tags.`n` != '3'") == ["B"]
    assert found("tags.`color` LIKE '_e%'") == ["A", "a", "\u00e9"]
    assert found("tags.absent != 'x'") == []
    assert found("tags.color = 'red' AND tags.color = 'blue'") == []


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_shows_whole_models(client: Recorded, name: str) -> None:
    """Each result is what a read of the model shows, but for aliases of its versions."""
    client.create_registered_model(name, {"k": "v"}, "d")
    client.create_model_version(name, "s3://b/p", tags={"a": "b"}, description="first")
    client.set_registered_model_alias(name, "champion", "1")
    [found] = client.search_registered_models(f"name = '{name}'")
    assert (found.name, found.description, found.tags) == (name, "d", {"k": "v"})
    assert found.aliases == {"champion": "1"}
    [version] = found.latest_versions
    assert (version.version, version.tags, version.description) == ("1", {"a": "b"}, "first")


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_orders(client: Recorded, name: str, models: list[str]) -> None:
    """By name in code point order unless told otherwise; ties by name."""
    wait_for_later_time()
    client.update_registered_model(models[3], "newest")

    def found(*order_by: str) -> list[str]:
        result = client.search_registered_models(f"name LIKE '{name}%'", order_by=list(order_by))
        return [model.name.removeprefix(f"{name}-") for model in result]

    assert found() == ["A", "B", "a", "b", "\u00e9"]
    assert found("name DESC") == ["\u00e9", "b", "a", "B", "A"]
    assert found("last_updated_timestamp DESC")[0] == "b"
    assert found("timestamp ASC", "name desc")[-1] == "b"


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_pages(client: Recorded, name: str, models: list[str]) -> None:
    """Pages of two walk through all five without a gap, and the last one has no token."""
    pages, token = [], None
    while True:
        page = client.search_registered_models(
            f"name LIKE '{name}%'", 2, order_by=["name DESC"], page_token=token
        )
        pages.append([model.name for model in page])
        token = page.token
        if not token:
            break
    assert pages == [models[4:2:-1], models[2:0:-1], models[:1]]
    with invalid("Invalid page token, could not base64-decode"):
        client.search_registered_models(page_token="abc")


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_leaves_prompts_out(client: Recorded, name: str) -> None:
    """A prompt is found only by a filter that asks for prompts."""
    client.create_registered_model(f"{name}-model")
    client.create_prompt(f"{name}-prompt")
    marker = "tags.`mlflow.prompt.is_prompt`"
    mine = f"name LIKE '{name}%'"
    assert [m.name for m in client.search_registered_models(mine)] == [f"{name}-model"]
    found = client.search_registered_models(f"{mine} AND {marker} = 'true'")
    assert [model.name for model in found] == [f"{name}-prompt"]


@pytest.mark.covers("MlflowClient.search_registered_models")
@pytest.mark.parametrize(
    ("filter_string", "sentence"),
    [
        ("name = ", CLAUSE),
        ("name = 'a' OR name = 'b'", CLAUSE),
        ("name = 'a' AND", re.compile("")),
        (
            "creator = 'x'",
            re.compile(r"Invalid attribute key 'creator' specified\. Valid keys are"),
        ),
        ("run_id = 'x'", re.compile(r"Invalid attribute key 'run_id' specified\. Valid keys")),
        ("params.x = '1'", re.compile(r"Invalid entity type 'params'\. Valid entity types are")),
        ("name > 'x'", "Invalid comparator for attribute: >"),
        ("tags.x > 'y'", "Invalid comparator for tag: >"),
        ("name = x", re.compile("Parameter value is either not quoted or unidentified quote")),
        ("name = 5", re.compile("Expected a quoted string value or a list of quoted string")),
        ("tags.x = 5", re.compile(r"Expected a quoted string value for tag \(e\.g\. 'my-value'\)")),
        ("name IN ()", re.compile("expected a non-empty list of string values, but got empty")),
        ("name IN ('a', 5)", re.compile("but got different type in list")),
    ],
)
def test_search_registered_models_refuses_what_it_does_not_understand(
    client: Recorded, filter_string: str, sentence: str | re.Pattern[str]
) -> None:
    """Each fault has MLflow's sentence."""
    # MLflow's client appends a clause of its own, which closes a dangling AND.
    if filter_string.endswith("AND"):
        assert list(client.search_registered_models(filter_string)) == []
        return
    with invalid(sentence):
        client.search_registered_models(filter_string)


@pytest.mark.covers("MlflowClient.search_registered_models")
def test_search_registered_models_refuses_a_bad_order(client: Recorded) -> None:
    """Unknown keys, broken directions and too large pages have MLflow's sentences."""
    with invalid(re.compile("Invalid order by key 'description' specified")):
        client.search_registered_models(order_by=["description"])
    with invalid(re.compile("Invalid ordering key in order_by clause 'name DESC")):
        client.search_registered_models(order_by=["name DESCENDING"])
    with invalid(re.compile("Invalid value \"1001\" for parameter 'max_results' supplied")):
        client.search_registered_models(max_results=1001)


@pytest.mark.covers("MlflowClient.search_model_versions")
def test_search_model_versions_filters(client: Recorded, versions: str) -> None:
    """Name, run, source, number and tags, by every operator that MLflow has for them."""

    def found(filter_string: str) -> list[int]:
        result = client.search_model_versions(
            f"name = '{versions}' AND {filter_string}", order_by=["version_number ASC"]
        )
        return [int(version.version) for version in result]

    assert found("run_id = 'even'") == [2, 6, 8, 10, 12]
    assert found("run_id != 'even'") == [1, 3, 5, 7, 9, 11]
    assert found("run_id IN ('even', 'x')") == [2, 6, 8, 10, 12]
    assert found("run_id LIKE 'ev%'") == [2, 6, 8, 10, 12]
    assert found("source_path = 's3://b/Path5'") == [5]
    assert found("source_path LIKE '%Path1_'") == [10, 11, 12]
    assert found("source_path ILIKE '%path1'") == [1]
    assert found("version_number = 3") == [3]
    assert found("version_number > 10 AND version_number <= '12'") == [11, 12]
    assert found("version_number < 3 AND version_number != 1") == [2]
    assert found("tags.parity = 'odd' AND tags.n LIKE '1%'") == [1, 11]
    assert found("attribute.version_number >= 12") == [12]


@pytest.mark.covers("MlflowClient.search_model_versions")
def test_search_model_versions_orders_and_pages(client: Recorded, versions: str) -> None:
    """Last updated first unless told otherwise; numbers sort as numbers; pages have no gap."""
    wait_for_later_time()
    client.update_model_version(versions, "2", "touched")
    mine = f"name = '{versions}'"
    assert [v.version for v in client.search_model_versions(mine)][:2] == ["2", "12"]

    pages, token = [], None
    while True:
        page = client.search_model_versions(mine, 4, ["version_number DESC"], token)
        pages.append([int(version.version) for version in page])
        token = page.token
        if not token:
            break
    assert pages == [[12, 11, 10, 9], [8, 7, 6, 5], [3, 2, 1]]
    [first] = client.search_model_versions(mine, 1, ["creation_timestamp ASC"])
    assert (first.version, first.source, first.tags) == (
        "1",
        "s3://b/Path1",
        {"n": "1", "parity": "odd"},
    )


@pytest.mark.covers("MlflowClient.search_model_versions")
def test_search_model_versions_leaves_prompts_out(client: Recorded, name: str) -> None:
    """A version of a prompt is found only by a filter that asks for prompts."""
    client.register_prompt(name, "Hello {{who}}")
    assert list(client.search_model_versions(f"name = '{name}'")) == []
    marker = "tag.`mlflow.prompt.is_prompt` = 'true'"
    [found] = client.search_model_versions(f"name = '{name}' AND {marker}")
    assert found.tags["mlflow.prompt.text"] == "Hello {{who}}"


@pytest.mark.covers("MlflowClient.search_model_versions")
@pytest.mark.parametrize(
    ("filter_string", "sentence"),
    [
        ("stage = 'None'", re.compile(r"Invalid attribute key 'stage' specified\. Valid keys")),
        ("version_number = 'x'", re.compile("Invalid value for numeric attribute 'version_")),
        ("version_number LIKE '1'", "Invalid comparator for attribute version_number: LIKE"),
        ("source_path IN ('a')", re.compile("attributes support comparison with a list of")),
        ("run_id = 5", re.compile("attributes support comparison with numeric values")),
        ("name = 'a', run_id = 'b'", CLAUSE),
        (" ", re.compile(r"Invalid filter ' '\. Could not be parsed\.")),
    ],
)
def test_search_model_versions_refuses_what_it_does_not_understand(
    client: Recorded, filter_string: str, sentence: str | re.Pattern[str]
) -> None:
    """Each fault has MLflow's sentence."""
    with invalid(sentence):
        client.search_model_versions(filter_string)


@pytest.mark.covers("mlflow.search_registered_models", "mlflow.search_model_versions")
def test_fluent_searches_walk_all_pages(
    fluent: Recorded, client: Recorded, name: str, versions: str
) -> None:
    """The module's searches gather every page, up to what was asked for."""
    for number in range(3):
        client.create_registered_model(f"{name}-{number}")
    found = fluent.search_registered_models(filter_string=f"name LIKE '{name}-%'")
    assert [model.name for model in found] == [f"{name}-{number}" for number in range(3)]
    assert len(fluent.search_registered_models(2, f"name LIKE '{name}-%'")) == 2
    found = fluent.search_model_versions(filter_string=f"name = '{versions}'")
    assert {int(version.version) for version in found} == {*range(1, 13)} - {4}
