"""The routes of registered models: every row of the contract's sections 2.1 to 2.12."""

from __future__ import annotations

import pytest

from services.in_process import missing, not_a_path, wrong_type

MODEL = "/registered-models"
RESERVED = "Version alias name '{}' is reserved."
PROMPT_TAG = {"key": "mlflow.prompt.is_prompt", "value": "true"}


@pytest.fixture
def filled(server):
    """A model `m` with three versions, an alias, tags; and a model `n` with nothing."""
    tags = [{"key": "a", "value": "1"}]
    server.call("POST", f"{MODEL}/create", {"name": "m", "description": "d", "tags": tags})
    server.call("POST", f"{MODEL}/create", {"name": "n"})
    for _ in range(3):
        server.call("POST", "/model-versions/create", {"name": "m", "source": "s3://b/p"})
    server.call("POST", f"{MODEL}/alias", {"name": "m", "alias": "champ", "version": "2"})
    transition(server, "1", "Staging")
    return server


def transition(server, version, stage):
    body = {"name": "m", "version": version, "stage": stage}
    assert server.call("POST", "/model-versions/transition-stage", body).status == 200


def get(server, name="m"):
    answer = server.call("GET", f"{MODEL}/get", query=[("name", name)])
    assert answer.status == 200
    return answer.json["registered_model"]


def untimed(value):
    """The value without timestamps, which other tests look at."""
    if isinstance(value, list):
        return [untimed(item) for item in value]
    if isinstance(value, dict):
        return {key: untimed(item) for key, item in value.items() if not key.endswith("_timestamp")}
    return value


def refuses(answer, message, *, status=400, code="INVALID_PARAMETER_VALUE"):
    assert (answer.status, answer.json["error_code"]) == (status, code)
    assert answer.json["message"] == message


def not_found(answer, message):
    refuses(answer, message, status=404, code="RESOURCE_DOES_NOT_EXIST")


# Names, the same on every route (contract 3.1)

NAME_ROUTES = [
    ("POST", f"{MODEL}/create", {}),
    ("GET", f"{MODEL}/get", {}),
    ("PATCH", f"{MODEL}/update", {}),
    ("DELETE", f"{MODEL}/delete", {}),
    ("POST", f"{MODEL}/rename", {"new_name": "x"}),
    ("POST", f"{MODEL}/get-latest-versions", {}),
    ("GET", f"{MODEL}/get-latest-versions", {}),
    ("POST", f"{MODEL}/set-tag", {"key": "k"}),
    ("DELETE", f"{MODEL}/delete-tag", {"key": "k"}),
    ("POST", f"{MODEL}/alias", {"alias": "a", "version": "1"}),
    ("DELETE", f"{MODEL}/alias", {"alias": "a"}),
    ("GET", f"{MODEL}/alias", {"alias": "a"}),
    ("POST", "/model-versions/create", {"source": "s3://b/p"}),
    ("GET", "/model-versions/get", {"version": "1"}),
    ("PATCH", "/model-versions/update", {"version": "1"}),
    ("DELETE", "/model-versions/delete", {"version": "1"}),
    ("POST", "/model-versions/transition-stage", {"version": "1", "stage": "None"}),
    ("POST", "/model-versions/set-tag", {"version": "1", "key": "k"}),
    ("DELETE", "/model-versions/delete-tag", {"version": "1", "key": "k"}),
]


@pytest.mark.parametrize(("method", "path", "rest"), NAME_ROUTES)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, missing("name")),
        ("", missing("name")),
        (1, wrong_type("name", 1)),
        (["m"], wrong_type("name", ["m"])),
        (" \t", "Missing value for required parameter 'name'."),
        ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ("a:b", "Invalid model name 'a:b'. Names cannot contain '/' or ':'."),
        (".", not_a_path(".", ".")),
        ("..", not_a_path("..", "..")),
        ("..a", not_a_path("..a", "..a")),
        ("a" * 257, "'name' exceeds the maximum length of 256 characters"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_illegal_names_are_refused_on_every_route(server, method, path, rest, *, name, message):
    """One rule, one text, whatever is asked."""
    refuses(server.call(method, path, {"name": name, **rest}), message)


@pytest.mark.parametrize(
    "name", ["a..b", "a.", " a ", "a\tb\nc", "q'\"`\\", "50%?#*,;@", "é", "名", "😀", "x" * 256]
)
def test_every_other_name_is_stored_as_it_is(server, name):
    """Untrimmed, unnormalised, case-sensitive."""
    answer = server.call("POST", f"{MODEL}/create", {"name": name})
    assert answer.json["registered_model"]["name"] == name
    assert get(server, name)["name"] == name


@pytest.mark.parametrize(
    ("method", "path", "rest"),
    [row for row in NAME_ROUTES if row[1].startswith(MODEL) and not row[1].endswith("/create")],
)
def test_missing_model_is_not_found_on_every_route(server, method, path, rest):
    """With the alias route the model version is what is missing (contract 2.10)."""
    answer = server.call(method, path, {"name": "no", **rest})
    if (method, path) == ("POST", f"{MODEL}/alias"):
        not_found(answer, "Model Version (name=no, version=1) not found")
    else:
        not_found(answer, "Registered Model with name=no not found")


# 2.1 create

TAKEN = (
    "Tried to create a {} with name 'x', but the name is already taken by a {}. MLflow does not "
    "allow creating a model and a prompt with the same name."
)


def test_create_answers_with_the_model(server):
    """Duplicate tags collapse, values may be absent, both times are now."""
    tags = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b"}]
    body = {"name": "m", "description": "d", "tags": tags, "deployment_job_id": "j"}
    model = server.call("POST", f"{MODEL}/create", body).json["registered_model"]
    assert model["creation_timestamp"] == model["last_updated_timestamp"]
    assert untimed(model) == {
        "name": "m",
        "description": "d",
        "tags": [{"key": "a", "value": "2"}, {"key": "b", "value": ""}],
    }


@pytest.mark.parametrize(
    ("existing", "wanted", "message"),
    [
        ([], [], "Registered Model (name=x) already exists."),
        ([PROMPT_TAG], [PROMPT_TAG], "Prompt (name=x) already exists."),
        ([], [PROMPT_TAG], TAKEN.format("prompt", "registered model")),
        ([{**PROMPT_TAG, "value": "no"}], [], TAKEN.format("registered model", "prompt")),
    ],
)
def test_create_refuses_a_name_that_is_taken(server, existing, wanted, message):
    """400 and not 409; a prompt is what has the marker, whatever its value."""
    server.call("POST", f"{MODEL}/create", {"name": "x", "tags": existing})
    answer = server.call("POST", f"{MODEL}/create", {"name": "x", "tags": wanted})
    refuses(answer, message, code="RESOURCE_ALREADY_EXISTS")


BAD_KEY = (
    "Invalid value \"!\" for parameter 'key' supplied: Names may only contain alphanumerics, "
    "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
)
BAD_TAGS = [
    ("!", BAD_KEY),
    ("/a", not_a_path("/a", "/a", "key")),
    ("a/", not_a_path("a/", "a", "key")),
    ("a//b", not_a_path("a//b", "a/b", "key")),
    ("..", not_a_path("..", "..", "key")),
    ("a/../b", not_a_path("a/../b", "b", "key")),
    ("k" * 251, "'key' exceeds the maximum length of 250 characters"),
]


@pytest.mark.parametrize(
    ("tag", "message"),
    [({"key": key, "value": "v"}, message) for key, message in BAD_TAGS]
    + [
        ({"value": "v"}, not_a_path("", ".", "key")),
        (
            {"key": "k", "value": "v" * 100_001},
            "'value' exceeds the maximum length of 100000 characters",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("path", [f"{MODEL}/create", "/model-versions/create"])
def test_create_refuses_illegal_tags_and_creates_nothing(server, path, tag, message):
    """Of several tags one is enough."""
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    name = "m" if path.startswith("/model-versions") else "new"
    body = {"name": name, "source": "s3://b/p", "tags": [{"key": "ok"}, tag]}
    refuses(server.call("POST", path, body), message)
    assert server.call("GET", "/model-versions/search").json == {}
    assert len(server.call("GET", f"{MODEL}/search").json["registered_models"]) == 1


# 2.2 rename


def test_rename_moves_everything_and_updates_all_times(filled):
    """Versions, tags and aliases come along; the old name is free."""
    before = get(filled)
    answer = filled.call("POST", f"{MODEL}/rename", {"name": "m", "new_name": "r"})
    renamed = answer.json["registered_model"]
    assert untimed(renamed)["tags"] == before["tags"]
    assert renamed["creation_timestamp"] == before["creation_timestamp"]
    assert renamed["last_updated_timestamp"] > before["last_updated_timestamp"]
    versions = filled.call("GET", "/model-versions/search").json["model_versions"]
    assert {(v["name"], v["last_updated_timestamp"]) for v in versions} == {
        ("r", renamed["last_updated_timestamp"])
    }
    not_found(
        filled.call("GET", f"{MODEL}/get", {"name": "m"}), "Registered Model with name=m not found"
    )


def test_rename_to_the_same_name_only_updates_the_time(filled):
    """Not an error."""
    before = get(filled)
    answer = filled.call("POST", f"{MODEL}/rename", {"name": "m", "new_name": "m"})
    assert answer.status == 200
    assert get(filled)["last_updated_timestamp"] > before["last_updated_timestamp"]


def test_rename_refuses_a_name_that_is_taken(filled):
    """And tells no SQL."""
    answer = filled.call("POST", f"{MODEL}/rename", {"name": "m", "new_name": "n"})
    message = "Registered Model (name=n) already exists."
    refuses(answer, message, code="RESOURCE_ALREADY_EXISTS")


@pytest.mark.parametrize(
    ("new_name", "message"),
    [
        (None, missing("new_name")),
        ("", missing("new_name")),
        (1, wrong_type("new_name", 1)),
        (" ", "Missing value for required parameter 'new_name'."),
        ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
        ("..a", not_a_path("..a", "..a")),
        ("a" * 257, "'new_name' exceeds the maximum length of 256 characters"),
    ],
)
def test_rename_refuses_illegal_names(filled, new_name, message):
    """As create does."""
    answer = filled.call("POST", f"{MODEL}/rename", {"name": "m", "new_name": new_name})
    refuses(answer, message)


def test_rename_tells_the_new_name_when_both_are_illegal(filled):
    """As MLflow does, which looks at the old one later."""
    answer = filled.call("POST", f"{MODEL}/rename", {"name": "\t", "new_name": "a:b"})
    refuses(answer, "Invalid model name 'a:b'. Names cannot contain '/' or ':'.")


# 2.3 update, 2.4 delete


@pytest.mark.parametrize("body", [{}, {"description": None}, {"description": ""}])
def test_update_without_a_description_erases_it(filled, body):
    """A client that leaves it out means none."""
    before = get(filled)
    answer = filled.call("PATCH", f"{MODEL}/update", {"name": "m", **body})
    model = answer.json["registered_model"]
    assert "description" not in model
    assert model["last_updated_timestamp"] > before["last_updated_timestamp"]
    assert model["tags"] == before["tags"]


def test_update_sets_the_description(filled):
    """Whatever text it is, up to its limit; a job beside it has no effect."""
    body = {"name": "m", "description": "new é", "deployment_job_id": "j"}
    answer = filled.call("PATCH", f"{MODEL}/update", body)
    assert answer.json["registered_model"]["description"] == "new é"
    assert not [key for key in get(filled) if key.startswith("deployment_job")]
    refuses(
        filled.call("PATCH", f"{MODEL}/update", {**body, "description": "d" * 100_001}),
        "'description' exceeds the maximum length of 100000 characters",
    )


def test_delete_removes_all_and_restarts_versions(filled):
    """A model of the same name is another model."""
    assert filled.call("DELETE", f"{MODEL}/delete", {"name": "m"}).json == {}
    filled.call("POST", f"{MODEL}/create", {"name": "m"})
    assert "aliases" not in get(filled)
    answer = filled.call("POST", "/model-versions/create", {"name": "m", "source": "s3://b/p"})
    assert answer.json["model_version"]["version"] == "1"


# 2.5 get


def test_get_shows_tags_aliases_and_the_newest_version_of_each_stage(filled):
    """In the order of the stages; each with its own tags and aliases."""
    transition(filled, "3", "Archived")
    model = get(filled)
    assert untimed(model["aliases"]) == [{"alias": "champ", "version": "2"}]
    assert [(v["current_stage"], v["version"]) for v in model["latest_versions"]] == [
        ("None", "2"),
        ("Staging", "1"),
        ("Archived", "3"),
    ]
    assert model["latest_versions"][0]["aliases"] == ["champ"]


# 2.6 search


def names(answer):
    return [model["name"] for model in answer.json.get("registered_models", [])]


def test_search_pages_by_name(server):
    """The token is there if there is a further row, and only then."""
    for name in "cabd":
        server.call("POST", f"{MODEL}/create", {"name": name})
    first = server.call("GET", f"{MODEL}/search", query=[("max_results", "3")])
    assert names(first) == ["a", "b", "c"]
    token = first.json["next_page_token"]
    query = [("max_results", "3"), ("page_token", token)]
    second = server.call("GET", f"{MODEL}/search", query=query)
    assert names(second) == ["d"]
    assert "next_page_token" not in second.json
    assert names(server.call("GET", f"{MODEL}/search", query=[("max_results", "4")])) == list(
        "abcd"
    )


def test_search_filters_and_orders(filled):
    """The language has tests of its own; this is that it is reached."""
    query = [("filter", "name LIKE '%' AND tags.a = '1'")]
    assert names(filled.call("GET", f"{MODEL}/search", query=query)) == ["m"]
    query = [("order_by", "name DESC")]
    assert names(filled.call("GET", f"{MODEL}/search", query=query)) == ["n", "m"]
    query = [("order_by", "last_updated_timestamp DESC"), ("order_by", "name ASC")]
    assert names(filled.call("GET", f"{MODEL}/search", query=query)) == ["m", "n"]


def test_search_leaves_prompts_out_unless_asked(filled):
    """As MLflow: the client's own clause changes nothing."""
    filled.call("POST", f"{MODEL}/create", {"name": "p", "tags": [PROMPT_TAG]})
    assert names(filled.call("GET", f"{MODEL}/search")) == ["m", "n"]
    clause = "tag.`mlflow.prompt.is_prompt` {} 'true'"
    query = [("filter", clause.format("="))]
    assert names(filled.call("GET", f"{MODEL}/search", query=query)) == ["p"]
    query = [("filter", clause.format("!="))]
    assert names(filled.call("GET", f"{MODEL}/search", query=query)) == ["m", "n"]


BAD_TOKENS = [
    ("x", "Invalid page token, could not base64-decode"),
    ("bm90IGpzb24=", "Invalid page token, decoded value=b'not json'"),
    ("eyJvZmZzZXQiOiAyfQ==", "Invalid page token, parsed value={'offset': 2}"),
]


@pytest.mark.parametrize("path", [f"{MODEL}/search", "/model-versions/search"])
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "max_results",
            "0",
            "Invalid value for max_results. It must be a positive integer, but got 0",
        ),
        (
            "max_results",
            "-1",
            "Invalid value for max_results. It must be a positive integer, but got -1",
        ),
        ("max_results", "200001", wrong_type("max_results", "200001")),
        ("max_results", "x", wrong_type("max_results", "x")),
        ("filter", "x", "Invalid clause(s) in filter string: x"),
        (
            "order_by",
            "name, version",
            "Invalid order_by clause 'name, version'. Could not be parsed.",
        ),
        *(("page_token", token, message) for token, message in BAD_TOKENS),
    ],
)
def test_search_refuses_what_it_cannot_understand(server, path, field, value, message):
    """With the texts that clients' tests look for."""
    answer = server.call("GET", path, query=[(field, value)])
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json["message"].startswith(message[:60])


def test_search_default_page_has_100_models(server):
    """Clients that do not say how many rely on it."""
    for number in range(101):
        server.registry.create_registered_model(f"m{number:03}")
    answer = server.call("GET", f"{MODEL}/search")
    assert len(names(answer)) == 100
    assert "next_page_token" in answer.json
    answer = server.call("GET", f"{MODEL}/search", query=[("max_results", "1001")])
    refuses(answer, wrong_type("max_results", "1001"))


# 2.7 get-latest-versions


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("stages", "versions"),
    [
        ([], ["3", "1"]),
        (["None"], ["3"]),
        (["staging", "STAGING", "none"], ["3", "1"]),
        (["Production"], []),
    ],
)
def test_latest_versions_are_the_newest_of_each_stage_asked_for(filled, method, stages, versions):
    """Any case, duplicates harmless; without stages all four."""
    body = {"name": "m", "stages": stages}
    answer = filled.call(method, f"{MODEL}/get-latest-versions", body)
    assert [v["version"] for v in answer.json.get("model_versions", [])] == versions
    assert versions or answer.json == {}


def test_latest_versions_show_tags_and_aliases(filled):
    """As reading each of them does."""
    tag = {"name": "m", "version": "3", "key": "k", "value": "v"}
    filled.call("POST", "/model-versions/set-tag", tag)
    filled.call("POST", f"{MODEL}/alias", {"name": "m", "alias": "new", "version": "3"})
    answer = filled.call("POST", f"{MODEL}/get-latest-versions", {"name": "m", "stages": ["None"]})
    [version] = answer.json["model_versions"]
    assert (version["tags"], version["aliases"]) == ([{"key": "k", "value": "v"}], ["new"])


def test_latest_versions_read_the_query_too(filled):
    """Repeated parameters are a list; commas do not split."""
    query = [("name", "m"), ("stages", "none"), ("stages", "Staging")]
    answer = filled.call("GET", f"{MODEL}/get-latest-versions", query=query)
    assert len(answer.json["model_versions"]) == 2
    query = [("name", "m"), ("stages", "none,Staging")]
    answer = filled.call("GET", f"{MODEL}/get-latest-versions", query=query)
    refuses(answer, stage_text("none,Staging"))


def stage_text(stage):
    return (
        f"Invalid Model Version stage: {stage}. Value must be one of None, Staging, Production, "
        "Archived."
    )


@pytest.mark.parametrize("stage", ["x", "", " None", "Deleted_Internal"])
def test_latest_versions_refuse_what_is_no_stage(filled, stage):
    """The name is looked at first."""
    body = {"name": "m", "stages": [stage]}
    refuses(filled.call("POST", f"{MODEL}/get-latest-versions", body), stage_text(stage))
    answer = filled.call("POST", f"{MODEL}/get-latest-versions", {**body, "name": "no"})
    not_found(answer, "Registered Model with name=no not found")


# 2.8 set-tag, 2.9 delete-tag


def test_tags_are_set_replaced_and_deleted_without_moving_times(filled):
    """An absent value is the empty text; an absent tag is deleted without complaint."""
    before = get(filled)
    for value in ("1", "2", None):
        body = {"name": "m", "key": "b c:d/e", "value": value}
        assert filled.call("POST", f"{MODEL}/set-tag", body).json == {}
    assert get(filled)["tags"] == [{"key": "a", "value": "1"}, {"key": "b c:d/e", "value": ""}]
    for _ in range(2):
        answer = filled.call("DELETE", f"{MODEL}/delete-tag", {"name": "m", "key": "b c:d/e"})
        assert answer.json == {}
    assert get(filled) == before


@pytest.mark.parametrize(
    ("key", "message"), [*BAD_TAGS, (None, missing("key")), ("", missing("key"))]
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_illegal_tag_keys_are_refused_when_set_and_when_deleted(filled, method, key, message):
    """The same keys can be deleted that can be set."""
    path = f"{MODEL}/set-tag" if method == "POST" else f"{MODEL}/delete-tag"
    refuses(filled.call(method, path, {"name": "m", "key": key}), message)


def test_tag_values_end_at_100000_characters(filled):
    """On models as on versions."""
    body = {"name": "m", "key": "k", "value": "é" * 100_000}
    assert filled.call("POST", f"{MODEL}/set-tag", body).status == 200
    body["value"] += "x"
    answer = filled.call("POST", f"{MODEL}/set-tag", body)
    refuses(answer, "'value' exceeds the maximum length of 100000 characters")


# 2.10 to 2.12 aliases


def alias(server, method, name="m", **rest):
    return server.call(method, f"{MODEL}/alias", {"name": name, **rest})


def test_alias_is_set_moved_read_and_deleted_without_moving_times(filled):
    """An absent one is deleted without complaint, a reserved one too."""
    before = get(filled)
    assert alias(filled, "POST", alias="champ", version="3").json == {}
    answer = alias(filled, "GET", alias="champ")
    assert answer.json["model_version"]["version"] == "3"
    assert answer.json["model_version"]["aliases"] == ["champ"]
    for name in ("champ", "champ", "latest", "v1"):
        assert alias(filled, "DELETE", alias=name).json == {}
    after = get(filled)
    assert "aliases" not in after
    assert after["last_updated_timestamp"] == before["last_updated_timestamp"]


def test_missing_alias_is_an_invalid_argument(filled):
    """400 and not 404: clients rely on it."""
    refuses(alias(filled, "GET", alias="no"), "Registered model alias no not found.")
    refuses(alias(filled, "GET", alias="Champ"), "Registered model alias Champ not found.")


@pytest.mark.parametrize("name", ["latest", "Latest", "LATEST"])
def test_latest_is_the_version_with_the_highest_number(filled, name):
    """Over all stages."""
    transition(filled, "3", "Archived")
    answer = alias(filled, "GET", alias=name)
    assert answer.json["model_version"]["version"] == "3"


def test_latest_of_a_model_without_versions_is_not_found(filled):
    """404, unlike a missing alias."""
    not_found(alias(filled, "GET", "n", alias="latest"), "Latest version not found for model n.")


BAD_ALIAS = (
    "Invalid alias name: '{}'. Names may only contain alphanumerics, underscores (_), and dashes "
    "(-)."
)
TOO_LONG_ALIAS = "'Registered model alias name' exceeds the maximum length of 255 characters"


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, missing("alias")),
        ("", missing("alias")),
        (1, wrong_type("alias", 1)),
        ("a b", BAD_ALIAS.format("a b")),
        ("a.b", BAD_ALIAS.format("a.b")),
        ("a" * 256, TOO_LONG_ALIAS),
    ],
)
def test_illegal_aliases_are_refused(filled, method, name, message):
    """Letters of any script, digits, `_` and `-`."""
    refuses(alias(filled, method, alias=name, version="1"), message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latest", "'latest' alias name (case insensitive) is reserved."),
        ("LaTeSt", "'latest' alias name (case insensitive) is reserved."),
        ("v1", RESERVED.format("v1")),
        ("V12", RESERVED.format("V12")),
    ],
)
def test_reserved_aliases_cannot_be_set(filled, name, message):
    """They would be read as something else."""
    refuses(alias(filled, "POST", alias=name, version="1"), message)


@pytest.mark.parametrize("name", ["v", "v1a", "123", "-", "é_1", "a" * 255])
def test_every_other_alias_can_be_set(filled, name):
    """Also what looks like a number."""
    assert alias(filled, "POST", alias=name, version="1").status == 200
    assert alias(filled, "GET", alias=name).json["model_version"]["version"] == "1"


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        (None, 400, missing("version")),
        (2, 400, wrong_type("version", 2)),
        ("x", 400, "Parameter 'version' must be an integer, got 'x'."),
        ("9", 404, "Model Version (name=m, version=9) not found"),
        ("0", 404, "Model Version (name=m, version=0) not found"),
    ],
)
def test_alias_needs_a_version_that_exists(filled, version, status, message):
    """Deleted ones do not."""
    answer = alias(filled, "POST", alias="a", version=version)
    assert (answer.status, answer.json["message"]) == (status, message)


def test_alias_dies_with_its_version(filled):
    """And is not found afterwards."""
    filled.call("DELETE", "/model-versions/delete", {"name": "m", "version": "2"})
    refuses(alias(filled, "GET", alias="champ"), "Registered model alias champ not found.")
    not_found(
        alias(filled, "POST", alias="champ", version="2"),
        "Model Version (name=m, version=2) not found",
    )
