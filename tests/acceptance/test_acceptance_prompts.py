"""MLflow's prompt registry through its client: no endpoint of its own, only models and tags."""

from __future__ import annotations

import re

import pytest

from services.acceptance import Recorded, failure, invalid

CHAT = [
    {"role": "system", "content": "You are {{style}}."},
    {"role": "user", "content": "{{question}}"},
]
RESPONSE_FORMAT = {"type": "object", "properties": {"answer": {"type": "string"}}}
MODEL_CONFIG = {"model_name": "some-model", "temperature": 0.5, "max_tokens": 100}

EXPERIMENTS = "_mlflow_experiment_ids"
"""The tag with which the client notes, in a thread of its own, who used a prompt."""

NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"


def own(tags: dict[str, str]) -> dict[str, str]:
    """The tags that the test itself has set."""
    return {key: value for key, value in tags.items() if key != EXPERIMENTS}


def no_prompt(name: str, version: int) -> pytest.RaisesExc[Exception]:
    """What a call raises when the prompt version does not exist: the client's word for it."""
    return failure(NOT_FOUND, f"Prompt (name={name}, version={version}) not found")


@pytest.mark.covers("MlflowClient.register_prompt", "MlflowClient.load_prompt")
def test_register_prompt_makes_a_prompt_and_its_first_version(client: Recorded, name: str) -> None:
    """Template, message and tags come back from the registration and from a load."""
    made = client.register_prompt(
        name, "Hello {{who}}, \u00fcber\n", commit_message="first", tags={"lang": "en"}
    )
    loaded = client.load_prompt(name, version=1)
    for prompt in (made, loaded):
        assert (prompt.name, prompt.version) == (name, 1)
        assert prompt.template == "Hello {{who}}, \u00fcber\n"
        assert prompt.commit_message == "first"
        assert prompt.tags == {"lang": "en"}
        assert (prompt.is_text_prompt, prompt.variables) == (True, {"who"})
    assert loaded.format(who="you") == "Hello you, \u00fcber\n"
    assert own(client.get_prompt(name).tags) == {"lang": "en"}


@pytest.mark.covers("MlflowClient.register_prompt", "MlflowClient.get_prompt")
def test_register_prompt_again_makes_the_next_version(client: Recorded, name: str) -> None:
    """The next version leaves the one before as it was and adds its tags to the prompt."""
    client.register_prompt(name, "one", tags={"a": "1"})
    second = client.register_prompt(name, "two", commit_message="second", tags={"b": "2"})
    assert (second.version, second.template) == (2, "two")
    assert client.load_prompt(name, version=1).template == "one"
    assert own(client.get_prompt(name).tags) == {"a": "1", "b": "2"}
    assert client.get_prompt_version(name, 1).tags == {"a": "1"}
    assert client.get_prompt_version(name, 2).tags == {"b": "2"}


@pytest.mark.covers("MlflowClient.register_prompt", "MlflowClient.get_prompt_version")
def test_register_prompt_keeps_chats_formats_and_configurations(
    client: Recorded, name: str
) -> None:
    """A chat template, a response format and a model configuration survive the round trip."""
    client.register_prompt(name, CHAT, response_format=RESPONSE_FORMAT, model_config=MODEL_CONFIG)
    prompt = client.get_prompt_version(name, 1)
    assert (prompt.is_text_prompt, prompt.template) == (False, CHAT)
    assert prompt.response_format == RESPONSE_FORMAT
    assert prompt.model_config == MODEL_CONFIG
    assert prompt.variables == {"style", "question"}


@pytest.mark.covers("MlflowClient.register_prompt", "MlflowClient.create_prompt")
def test_a_prompt_and_a_model_cannot_share_a_name(client: Recorded, name: str) -> None:
    """Each is refused the other's name; a model's calls do not see a prompt."""
    client.create_registered_model(f"{name}-model")
    with invalid(re.compile(f"'{name}-model' exists with the same name")):
        client.register_prompt(f"{name}-model", "text")
    taken = f"Tried to create a prompt with name '{name}-model', but the name is already taken"
    with failure("RESOURCE_ALREADY_EXISTS", re.compile(taken)):
        client.create_prompt(f"{name}-model")
    client.create_prompt(name)
    with failure("RESOURCE_ALREADY_EXISTS", re.compile(rf"Prompt \(name={name}\) already exists")):
        client.create_prompt(name)
    with failure(NOT_FOUND, f"Registered Model with name='{name}' not found."):
        client.get_registered_model(name)


@pytest.mark.covers("MlflowClient.register_prompt")
def test_a_prompt_text_too_long_leaves_nothing_behind(client: Recorded, name: str) -> None:
    """The client takes back the prompt when its first version is refused."""
    client.register_prompt(f"{name}-long", "x" * 100_000)
    assert client.load_prompt(f"{name}-long", version=1).template == "x" * 100_000
    with invalid("Prompt text exceeds max length of 100000 characters."):
        client.register_prompt(name, "x" * 100_001)
    assert client.get_prompt(name) is None


@pytest.mark.covers(
    "MlflowClient.create_prompt",
    "MlflowClient.create_prompt_version",
    "MlflowClient.get_prompt",
    "MlflowClient.get_prompt_version",
)
def test_create_prompt_and_versions_one_by_one(client: Recorded, name: str) -> None:
    """The newer calls do the same in two steps."""
    made = client.create_prompt(name, "about", {"team": "a"})
    assert (made.name, made.description, made.tags) == (name, "about", {"team": "a"})
    first = client.create_prompt_version(name, "Hi {{x}}", "first", {"k": "v"})
    assert (first.version, first.template, first.commit_message) == (1, "Hi {{x}}", "first")
    client.create_prompt_version(name, CHAT, model_config=MODEL_CONFIG)
    second = client.get_prompt_version(name, "2")
    assert (second.template, second.model_config) == (CHAT, MODEL_CONFIG)
    assert client.get_prompt_version(name, "1").tags == {"k": "v"}
    assert client.get_prompt(f"{name}-other") is None
    with no_prompt(name, 3):
        client.get_prompt_version(name, 3)
    assert client.get_prompt(name).description == "about"


@pytest.mark.covers(
    "MlflowClient.load_prompt",
    "MlflowClient.set_prompt_alias",
    "MlflowClient.delete_prompt_alias",
    "MlflowClient.get_prompt_version_by_alias",
)
def test_prompt_aliases_point_move_and_go(client: Recorded, name: str) -> None:
    """An alias loads its version, `latest` the newest; a missing one is an error or None."""
    for text in ("one", "two", "three"):
        client.register_prompt(name, text)
    client.set_prompt_alias(name, "live", 1)
    client.set_prompt_alias(name, "live", 2)
    assert client.load_prompt(f"prompts:/{name}@live").template == "two"
    assert client.get_prompt_version_by_alias(name, "live").version == 2
    assert client.load_prompt(f"prompts:/{name}@latest").template == "three"
    assert client.load_prompt(name).template == "three"
    assert client.load_prompt(f"prompts:/{name}/1").template == "one"
    client.delete_prompt_alias(name, "live")
    with invalid(re.compile("alias live not found")):
        client.load_prompt(f"prompts:/{name}@live")
    assert client.load_prompt(f"prompts:/{name}@live", allow_missing=True) is None
    assert client.load_prompt(f"{name}-other", version=1, allow_missing=True) is None
    assert client.load_prompt(name, version=9, allow_missing=True) is None
    with failure(NOT_FOUND, f"Prompt '{name}' version 9 does not exist."):
        client.set_prompt_alias(name, "live", 9)


@pytest.mark.covers(
    "MlflowClient.set_prompt_tag",
    "MlflowClient.delete_prompt_tag",
    "MlflowClient.set_prompt_version_tag",
    "MlflowClient.delete_prompt_version_tag",
)
def test_prompt_tags_are_set_and_deleted(client: Recorded, name: str) -> None:
    """Tags of the prompt and of its version are apart."""
    client.register_prompt(name, "text")
    client.set_prompt_tag(name, "a", "1")
    client.set_prompt_tag(name, "gone", "x")
    client.delete_prompt_tag(name, "gone")
    client.set_prompt_version_tag(name, 1, "b", "2")
    client.set_prompt_version_tag(name, "1", "gone", "x")
    client.delete_prompt_version_tag(name, 1, "gone")
    assert own(client.get_prompt(name).tags) == {"a": "1"}
    assert client.get_prompt_version(name, 1).tags == {"b": "2"}


@pytest.mark.covers("MlflowClient.search_prompts")
def test_search_prompts_finds_prompts_only(client: Recorded, name: str) -> None:
    """Filtered by name and tag, ordered, paged; models are not found."""
    for text in ("a", "b", "c"):
        client.create_prompt(f"{name}-{text}", tags={"t": text})
    client.create_registered_model(f"{name}-model")
    mine = f"name LIKE '{name}%'"
    found = client.search_prompts(mine)
    assert [prompt.name for prompt in found] == [f"{name}-{text}" for text in "abc"]
    [one] = client.search_prompts(f"{mine} AND tags.t = 'b'")
    assert (one.name, one.tags) == (f"{name}-b", {"t": "b"})
    first = client.search_prompts(mine, max_results=2, order_by=["name DESC"])
    assert [prompt.name for prompt in first] == [f"{name}-c", f"{name}-b"]
    [last] = client.search_prompts(
        mine, max_results=2, order_by=["name DESC"], page_token=first.token
    )
    assert last.name == f"{name}-a"


@pytest.mark.covers("MlflowClient.search_prompts")
def test_search_prompts_by_experiment(client: Recorded, name: str) -> None:
    """A prompt knows the experiments it was used in."""
    client.create_prompt(name)
    client.set_prompt_tag(name, EXPERIMENTS, ",17,4,")
    by_experiment = f"experiment_id = '17' AND name = '{name}'"
    assert [prompt.name for prompt in client.search_prompts(by_experiment)] == [name]
    assert list(client.search_prompts(f"experiment_id = '7' AND name = '{name}'")) == []


@pytest.mark.covers("MlflowClient.search_prompt_versions", "MlflowClient.delete_prompt_version")
def test_search_prompt_versions_newest_first(client: Recorded, name: str) -> None:
    """All versions of one prompt but the deleted ones, in pages."""
    for number in range(1, 5):
        client.register_prompt(name, f"text {number}")
    client.delete_prompt_version(name, "3")
    first = client.search_prompt_versions(name, max_results=2)
    assert [(v.version, v.template) for v in first] == [(4, "text 4"), (2, "text 2")]
    [last] = client.search_prompt_versions(name, max_results=2, page_token=first.token)
    assert last.version == 1
    with no_prompt(name, 3):
        client.get_prompt_version(name, 3)


@pytest.mark.covers("MlflowClient.delete_prompt")
def test_delete_prompt_frees_its_name(client: Recorded, name: str) -> None:
    """The prompt and its versions are gone; the name may become a model."""
    client.register_prompt(name, "text")
    client.delete_prompt(name)
    assert client.get_prompt(name) is None
    with failure(NOT_FOUND, f"Prompt with name={name} not found"):
        client.get_prompt_version(name, 1)
    assert client.create_registered_model(name).tags == {}


@pytest.mark.covers("MlflowClient.list_logged_prompts", "MlflowClient.detach_prompt_from_run")
def test_prompts_of_a_run_are_found_by_a_tag(client: Recorded, name: str) -> None:
    """The runs that used a prompt are a tag of its version."""
    runs, tag = (f"{name}run1", f"{name}run2"), "mlflow.prompt.associatedRunIds"
    client.register_prompt(name, "text")
    client.set_prompt_version_tag(name, 1, tag, ",".join(runs))
    assert [prompt.name for prompt in client.list_logged_prompts(runs[0])] == [name]
    client.detach_prompt_from_run(runs[0], f"prompts:/{name}/1")
    assert client.list_logged_prompts(runs[0]) == []
    assert [prompt.name for prompt in client.list_logged_prompts(runs[1])] == [name]
    with invalid(f"Run '{runs[0]}' is not associated with prompt 'prompts:/{name}/1'."):
        client.detach_prompt_from_run(runs[0], f"prompts:/{name}/1")
    client.detach_prompt_from_run(runs[1], f"prompts:/{name}/1")
    assert client.list_logged_prompts(runs[1]) == []


@pytest.mark.covers("MlflowClient.search_model_versions")
def test_a_prompt_version_may_only_have_a_placeholder_as_source(
    client: Recorded, name: str
) -> None:
    """What looks like a prompt cannot smuggle in a location, nor a model use the placeholder."""
    client.register_prompt(name, "text")
    marker = f"name = '{name}' AND tag.`mlflow.prompt.is_prompt` = 'true'"
    [version] = client.search_model_versions(marker)
    assert version.source == "dummy-source"
    client.create_registered_model(f"{name}-model")
    with invalid(re.compile("Invalid model version source: 'dummy-source'")):
        client.create_model_version(f"{name}-model", "dummy-source")
    client.create_registered_model(f"{name}-copy")
    with invalid(
        f"Invalid model version source: 'models:/{name}/1'. Prompt versions cannot be used as "
        "model version sources."
    ):
        client.create_model_version(f"{name}-copy", f"models:/{name}/1")


@pytest.mark.covers(
    "mlflow.genai.register_prompt",
    "mlflow.genai.load_prompt",
    "mlflow.genai.search_prompts",
    "mlflow.genai.set_prompt_alias",
    "mlflow.genai.delete_prompt_alias",
    "mlflow.genai.get_prompt_tags",
    "mlflow.genai.set_prompt_tag",
    "mlflow.genai.delete_prompt_tag",
    "mlflow.genai.set_prompt_version_tag",
    "mlflow.genai.delete_prompt_version_tag",
    "mlflow.genai.set_prompt_model_config",
    "mlflow.genai.delete_prompt_model_config",
)
def test_the_genai_module_works_on_prompts(fluent: Recorded, name: str) -> None:
    """The module's calls reach the registry it is set to."""
    genai = fluent.genai
    made = genai.register_prompt(name, "Hi {{x}}", commit_message="c", tags={"a": "1"})
    assert (made.version, made.template) == (1, "Hi {{x}}")
    genai.set_prompt_alias(name, "live", 1)
    assert genai.load_prompt(f"prompts:/{name}@live").commit_message == "c"
    genai.delete_prompt_alias(name, "live")
    assert genai.load_prompt(f"prompts:/{name}@live", allow_missing=True) is None
    genai.set_prompt_tag(name, "b", "2")
    genai.delete_prompt_tag(name, "a")
    assert own(genai.get_prompt_tags(name)) == {"b": "2"}
    genai.set_prompt_version_tag(name, 1, "c", "3")
    genai.delete_prompt_version_tag(name, 1, "a")
    genai.set_prompt_model_config(name, 1, MODEL_CONFIG)
    loaded = genai.load_prompt(name, version=1)
    assert (loaded.tags, loaded.model_config) == ({"c": "3"}, MODEL_CONFIG)
    genai.delete_prompt_model_config(name, 1)
    assert genai.load_prompt(name, version=1).model_config is None
    found = genai.search_prompts(f"name = '{name}'", max_results=5)
    assert [prompt.name for prompt in found] == [name]


@pytest.mark.covers(
    "mlflow.register_prompt",
    "mlflow.load_prompt",
    "mlflow.search_prompts",
    "mlflow.set_prompt_alias",
    "mlflow.delete_prompt_alias",
)
def test_the_older_module_calls_work_on_prompts(fluent: Recorded, name: str) -> None:
    """The same calls where MLflow 2 had them."""
    fluent.register_prompt(name, "text")
    fluent.set_prompt_alias(name, "live", 1)
    assert fluent.load_prompt(f"prompts:/{name}@live").template == "text"
    fluent.delete_prompt_alias(name, "live")
    with invalid(re.compile("alias live not found")):
        fluent.load_prompt(f"prompts:/{name}@live")
    assert [prompt.name for prompt in fluent.search_prompts(f"name = '{name}'")] == [name]
