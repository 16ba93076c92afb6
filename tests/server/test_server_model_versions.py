"""The routes of model versions: every row of the contract's sections 2.13 to 2.21, 3.4 to 3.10."""

from __future__ import annotations

import pytest

from registry_core.models import NewModelVersion
from registry_core.testing.calls import Calls
from services.in_process import missing, not_a_path, wrong_type

VERSIONS = "/model-versions"
MODEL = "/registered-models"
PROMPT_TAG = {"key": "mlflow.prompt.is_prompt", "value": "true"}
UNCLEAN = (
    "Invalid model version source: '{}'. If supplying a source as an http, https, local file path, "
    "ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative "
    "path references present. Please provide an absolute path."
)
LOCAL = (
    "Invalid model version source: '{}'. To use a local path as a model version source, the run_id "
    "request parameter has to be specified and the local path has to be contained within the "
    "artifact directory of the run specified by the run_id."
)
UNRESOLVED = (
    "Invalid model version source: '{}'. The model_id request parameter must identify the resource "
    "that contains the source."
)
OTHER_REGISTRY = (
    "Invalid model version source: '{}'. Registered model sources must use the active model "
    "registry."
)
OTHER_DISK = (
    "{} is not a valid remote uri. For remote access on windows, please consider using a different "
    "scheme such as SMB (e.g. smb://<hostname>/<path>)."
)
NO_STAGE = (
    "Invalid Model Version stage: {}. Value must be one of None, Staging, Production, Archived."
)
MISMATCH = (
    "Invalid model version source: '{}'. The run_id and model_id request parameters must match the "
    "referenced model version."
)


@pytest.fixture
def filled(server):
    """A model `m` with two versions, the second called `champ`; and a model `n` with none."""
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    server.call("POST", f"{MODEL}/create", {"name": "n"})
    create(server, run_id="r1", run_link="http://x/y", description="d")
    create(server, source="s3://b/q", tags=[{"key": "t", "value": "1"}])
    body = {"name": "m", "alias": "champ", "version": "2"}
    server.call("POST", f"{MODEL}/alias", body)
    return server


def create(server, name="m", source="s3://b/p", **rest):
    return server.call("POST", f"{VERSIONS}/create", {"name": name, "source": source, **rest})


def get(server, version="1", name="m"):
    answer = server.call("GET", f"{VERSIONS}/get", query=[("name", name), ("version", version)])
    assert answer.status == 200
    return answer.json["model_version"]


def model(server, name="m"):
    return server.call("GET", f"{MODEL}/get", query=[("name", name)]).json["registered_model"]


def updated(server):
    """The times of the last update of the model and of its two versions."""
    return tuple(
        found["last_updated_timestamp"]
        for found in (model(server), get(server, "1"), get(server, "2"))
    )


def refuses(answer, message, *, status=400, code="INVALID_PARAMETER_VALUE"):
    assert (answer.status, answer.json["error_code"]) == (status, code)
    assert answer.json["message"] == message


def not_found(answer, message):
    refuses(answer, message, status=404, code="RESOURCE_DOES_NOT_EXIST")


# Version numbers, the same on every route (contract 3.4)

VERSION_ROUTES = [
    ("GET", f"{VERSIONS}/get", {}),
    ("PATCH", f"{VERSIONS}/update", {}),
    ("DELETE", f"{VERSIONS}/delete", {}),
    ("POST", f"{VERSIONS}/transition-stage", {"stage": "Staging"}),
    ("POST", f"{VERSIONS}/set-tag", {"key": "k"}),
    ("DELETE", f"{VERSIONS}/delete-tag", {"key": "k"}),
    ("GET", f"{VERSIONS}/get-download-uri", {}),
    ("POST", f"{MODEL}/alias", {"alias": "a"}),
]


@pytest.mark.parametrize(("method", "path", "rest"), VERSION_ROUTES)
@pytest.mark.parametrize("version", ["x", "1.0", " 1 ", "+1", "1_0", "٣", "1\n", "v1"])
def test_version_that_is_no_number_is_refused_on_every_route(filled, method, path, rest, version):
    """Versions are digits."""
    message = f"Parameter 'version' must be an integer, got '{version}'."
    refuses(filled.call(method, path, {"name": "m", "version": version, **rest}), message)


@pytest.mark.parametrize(("method", "path", "rest"), VERSION_ROUTES)
@pytest.mark.parametrize("version", ["0", "-1", "3", "2147483648", "9" * 30])
def test_version_that_does_not_exist_is_not_found_on_every_route(
    filled, method, path, rest, version
):
    """However large it is."""
    message = f"Model Version (name=m, version={version}) not found"
    not_found(filled.call(method, path, {"name": "m", "version": version, **rest}), message)


@pytest.mark.parametrize(("method", "path", "rest"), VERSION_ROUTES)
def test_version_of_a_missing_model_is_what_is_not_found(server, method, path, rest):
    """Not the model (contract 1.4, MVNF)."""
    answer = server.call(method, path, {"name": "no", "version": "1", **rest})
    not_found(answer, "Model Version (name=no, version=1) not found")


@pytest.mark.parametrize(
    ("method", "path", "rest"), [row for row in VERSION_ROUTES if "download" not in row[1]]
)
@pytest.mark.parametrize(
    ("version", "message"),
    [(None, missing("version")), ("", missing("version")), (2, wrong_type("version", 2))],
)
def test_version_is_a_text_and_required(filled, method, path, rest, *, version, message):
    """A JSON number is refused."""
    refuses(filled.call(method, path, {"name": "m", "version": version, **rest}), message)


def test_leading_zeros_do_not_matter(filled):
    """As MLflow's `int()` reads them."""
    assert get(filled, "01")["version"] == "1"


# 2.13 create


def test_create_answers_with_the_version(server):
    """READY at once, stage None; what was not given is empty."""
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    version = create(server).json["model_version"]
    assert model(server)["last_updated_timestamp"] == version["creation_timestamp"]
    assert version == {
        "name": "m",
        "version": "1",
        "creation_timestamp": version["creation_timestamp"],
        "last_updated_timestamp": version["creation_timestamp"],
        "current_stage": "None",
        "description": "",
        "source": "s3://b/p",
        "run_id": "",
        "status": "READY",
        "run_link": "",
    }


def test_create_keeps_all_that_is_given(server):
    """The run is not looked up."""
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    tags = [{"key": "b"}, {"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    fields = {"run_id": "r1", "run_link": "http://x/y", "description": "dd", "model_id": "m-1"}
    version = create(server, tags=tags, **fields).json["model_version"]
    assert {key: version[key] for key in fields} == fields
    assert version["tags"] == [{"key": "a", "value": "2"}, {"key": "b", "value": ""}]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": None}, missing("source")),
        ({"source": ""}, missing("source")),
        ({"source": 1}, wrong_type("source", 1)),
        ({"run_id": 1}, wrong_type("run_id", 1)),
        ({"tags": {}}, wrong_type("tags", {})),
        ({"run_link": 1}, wrong_type("run_link", 1)),
        ({"description": []}, wrong_type("description", [])),
        ({"model_id": 1}, wrong_type("model_id", 1)),
        ({"run_id": "r" * 257}, "'run_id' exceeds the maximum length of 256 characters"),
        (
            {"source": "s3://b/" + "p" * 4_096},
            "'source' exceeds the maximum length of 4096 characters",
        ),
        (
            {"description": "d" * 100_001},
            "'description' exceeds the maximum length of 100000 characters",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_create_refuses_what_it_cannot_keep(filled, fields, message):
    """And creates nothing."""
    refuses(create(filled, **fields), message)
    assert create(filled).json["model_version"]["version"] == "3"


def test_create_needs_a_model(server):
    """It is not created on the way."""
    not_found(create(server, "no"), "Registered Model with name=no not found")


@pytest.mark.parametrize(
    "source",
    [
        " s3://b/p", "s3://b/p/", "s3://b/p//q", "s3://b/p?x=../y", "s3://b/p#f", "S3://b/p", "s3:/b/p",
        "gs://b/p", "wasbs://c@a/p", "dbfs:/x", "hf://a/b", "weird://x/y", "c:/x",
        "runs:/r/p", "runs:/r", "mlflow-artifacts:/p", "mlflow-artifacts://h/p", "http://h/p",
        "https://h/p", "ftp://h/p", "hdfs://h/p", "abfss://a@b/c", "models:/m-abc123",
    ],
)  # fmt: skip
@pytest.mark.parametrize("run_id", [None, "", "r"])
def test_source_is_kept_as_it_is_given(filled, source, run_id):
    """It is data: nothing opens it, nothing tidies it up."""
    version = create(filled, source=source, run_id=run_id).json["model_version"]
    assert version["source"] == source
    answer = filled.call(
        "GET", f"{VERSIONS}/get-download-uri", {"name": "m", "version": version["version"]}
    )
    assert answer.json == {"artifact_uri": source}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://b", UNCLEAN),
        ("s3://b/", UNCLEAN),
        ("gs://b?x=1", UNCLEAN),
        ("runs:/", UNCLEAN),
        ("foo:bar", UNCLEAN),
        ("s3://b/../p", UNCLEAN),
        ("s3://b/a/./b", UNCLEAN),
        ("s3://b/%2e%2e/p", UNCLEAN),
        ("s3://b/%252e%252e/p", UNCLEAN),
        ("mlflow-artifacts:/../p", UNCLEAN),
        ("s3://b/a%00", UNCLEAN),
        ("/local/p", LOCAL),
        ("file:///p", LOCAL),
        ("file:/p", LOCAL),
        ("./p", LOCAL),
        ("p", LOCAL),
        ("~/p", LOCAL),
        ("models:/m", UNRESOLVED),
        ("models:/", UNRESOLVED),
        ("models:/a/b/c", UNRESOLVED),
        ("models:m/h/x", UNRESOLVED),
        ("models:m/1", UNRESOLVED),
        ("models:///", UNRESOLVED),
        ("models:///..", UNCLEAN),
        ("models:/%00", UNCLEAN),
        ("models:/..", UNCLEAN),
        ("models://host/m/1", OTHER_REGISTRY),
        ("s3://[bad/p", "Invalid model version source: '{}'. It is not a valid URI."),
        ("file://host/p", OTHER_DISK),
    ],
    ids=lambda value: value[:24],
)
def test_source_that_could_mean_something_else_is_refused(filled, source, message):
    """Climbing paths, other people's disks, other registries."""
    refuses(create(filled, source=source), message.format(source))


@pytest.mark.parametrize("field", ["source", "run_link"])
@pytest.mark.parametrize("character", ["\n", "\x1b", "\x7f", "\x9b", "\u202e"])
def test_uri_with_a_control_character_is_refused(filled, field, character):
    """It would reach terminals, logs and shells by every client."""
    before = filled.call("GET", f"{VERSIONS}/search").json
    refuses(
        create(filled, **{"source": "s3://b/p", field: f"s3://b/{character}p"}),
        f"Invalid value for parameter '{field}' supplied: it contains the control character "
        f"U+{ord(character):04X} at position 7.",
    )
    assert filled.call("GET", f"{VERSIONS}/search").json == before


def test_uri_with_a_control_character_of_old_is_read_and_copied(filled):
    """What is there already stays what it is."""
    odd = "s3://b/\x1b[31m\u202ep"
    store = Calls(filled.registry.store)
    old = store.create_model_version(NewModelVersion(name="m", source=odd, run_link=odd))
    key = {"name": "m", "version": str(old.version)}
    version = filled.call("GET", f"{VERSIONS}/get", query=tuple(key.items())).json["model_version"]
    assert (version["source"], version["run_link"]) == (odd, odd)
    copy = create(filled, source=f"models:/m/{old.version}").json["model_version"]
    key["version"] = copy["version"]
    answer = filled.call("GET", f"{VERSIONS}/get-download-uri", query=tuple(key.items()))
    assert answer.json == {"artifact_uri": odd}


@pytest.mark.parametrize("name", ["%00", "m%00", "%2e%2e", "%252e%252e"])
@pytest.mark.parametrize("reference", ["{}/1", "{}/latest", "{}@a"])
def test_model_whose_name_reads_as_another_path_is_no_source(filled, name, reference):
    """It may be called so, but whoever decodes the source of its copy would be led astray."""
    filled.call("POST", f"{MODEL}/create", {"name": name})
    create(filled, name)
    filled.call("POST", f"{MODEL}/alias", {"name": name, "alias": "a", "version": "1"})
    answer = create(filled, source=f"models:/{reference.format(name)}")
    refuses(answer, UNCLEAN.format(f"models:/{name}/1"))


@pytest.mark.parametrize(
    ("source", "pinned"),
    [
        ("models:/m/1", "models:/m/1"),
        ("models:/m@champ", "models:/m/2"),
        ("models:/m@latest", "models:/m/2"),
        ("models:/m/latest", "models:/m/2"),
        ("models:/m/staging", "models:/m/1"),
        ("models:///m/1", "models:/m/1"),
    ],
)
def test_models_source_is_pinned_and_inherits(filled, source, pinned):
    """The location of the bytes, and the run where none is given; nothing else (contract 3.7)."""
    move(filled, "1", "Staging")
    copied = create(filled, "n", source).json["model_version"]
    original = get(filled, pinned[-1])
    assert copied["source"] == pinned
    assert copied["run_id"] == original["run_id"]
    assert (copied["description"], copied["run_link"]) == ("", "")
    assert "tags" not in copied
    query = [("name", "n"), ("version", "1")]
    uri = filled.call("GET", f"{VERSIONS}/get-download-uri", query=query).json
    assert uri == {"artifact_uri": original["source"]}


def test_copy_of_a_copy_knows_the_original_location(filled):
    """Also after the copies between are gone."""
    create(filled, "n", "models:/m/1")
    create(filled, "n", "models:/n/1")
    filled.call("DELETE", f"{VERSIONS}/delete", {"name": "n", "version": "1"})
    filled.call("DELETE", f"{MODEL}/delete", {"name": "m"})
    query = [("name", "n"), ("version", "2")]
    answer = filled.call("GET", f"{VERSIONS}/get-download-uri", query=query)
    assert answer.json == {"artifact_uri": "s3://b/p"}


@pytest.mark.parametrize(
    ("source", "run_id", "status", "message"),
    [
        ("models:/m/1", "r1", 200, None),
        ("models:/m/2", "", 200, None),
        ("models:/m/1", "r2", 400, MISMATCH),
        ("models:/m/1", "", 400, MISMATCH),
        ("models:/no/1", None, 404, "Registered Model with name=no not found"),
        ("models:/m/9", None, 404, "Model Version (name=m, version=9) not found"),
        (
            "models:/m/" + "9" * 25,
            None,
            404,
            f"Model Version (name=m, version={'9' * 25}) not found",
        ),
        ("models:/m@no", None, 400, "Registered model alias no not found."),
        ("models:/n@latest", None, 404, "Latest version not found for model n."),
        (
            "models:/m/Production",
            None,
            400,
            "No versions of model with name 'm' and stage 'Production' found",
        ),
    ],
)
def test_models_source_must_exist_and_agree(filled, source, run_id, status, message):
    """A run id that is given, even empty, must be that of the original."""
    answer = create(filled, "n", source, run_id=run_id)
    assert answer.status == status
    if message:
        assert answer.json["message"] == message.format(source)


@pytest.mark.parametrize(
    ("model_id", "status"), [(None, 200), ("m-1", 200), ("m-2", 400), ("", 400)]
)
def test_models_source_passes_its_logged_model_on(server, model_id, status):
    """As its run: inherited where none is given, and one that is given must be the same."""
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    create(server, model_id="m-1")
    answer = create(server, source="models:/m/1", model_id=model_id)
    assert answer.status == status
    if status == 200:
        assert answer.json["model_version"]["model_id"] == "m-1"
    else:
        refuses(answer, MISMATCH.format("models:/m/1"))


def test_pinned_source_stays_as_it_was_when_its_model_is_renamed(filled):
    """A source is data; the bytes are found by the location that was taken over."""
    create(filled, "n", "models:/m/1")
    filled.call("POST", f"{MODEL}/rename", {"name": "m", "new_name": "r"})
    assert get(filled, name="n")["source"] == "models:/m/1"
    query = [("name", "n"), ("version", "1")]
    answer = filled.call("GET", f"{VERSIONS}/get-download-uri", query=query)
    assert answer.json == {"artifact_uri": "s3://b/p"}


def mark(value):
    return {**PROMPT_TAG, "value": value}


@pytest.mark.parametrize(
    ("tags", "is_prompt"),
    [
        ([mark("true")], True),
        ([mark("TRUE")], True),
        ([mark("false"), mark("true")], True),
        ([mark("true"), mark("false")], False),
        ([mark("")], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("name", ["model", "prompt"])
def test_marker_of_the_request_says_which_sources_are_legal(server, name, tags, is_prompt):
    """In any case, the last one wins; whether its model is a prompt does not matter."""
    server.call("POST", f"{MODEL}/create", {"name": "model"})
    server.call("POST", f"{MODEL}/create", {"name": "prompt", "tags": [PROMPT_TAG]})
    for source in ("dummy-source", "prompt-template", "s3://b/p"):
        legal = is_prompt is (source != "s3://b/p")
        assert create(server, name, source, tags=tags).status == (200 if legal else 400), source


def test_prompt_version_comes_from_no_logged_model(server):
    """Its `model_id` is dropped, whether or not there is such a model."""
    server.call("POST", f"{MODEL}/create", {"name": "p", "tags": [PROMPT_TAG]})
    for rest in ({"run_id": "r"}, {}):
        answer = create(server, "p", "dummy-source", tags=[PROMPT_TAG], model_id="m-1", **rest)
        assert answer.status == 200
        assert "model_id" not in answer.json["model_version"]


def test_prompt_versions_have_placeholders_for_sources(server):
    """And are no source of other versions."""
    server.call("POST", f"{MODEL}/create", {"name": "p", "tags": [PROMPT_TAG]})
    server.call("POST", f"{MODEL}/create", {"name": "m"})
    assert create(server, "p", "dummy-source", tags=[PROMPT_TAG]).status == 200
    assert create(server, "p", "prompt-template", tags=[PROMPT_TAG]).status == 200
    refuses(
        create(server, "p", "s3://b/p", tags=[PROMPT_TAG]),
        "Invalid prompt source: 's3://b/p'. Prompt sources must use an MLflow placeholder.",
    )
    refuses(
        create(server, source="models:/p/1"),
        "Invalid model version source: 'models:/p/1'. Prompt versions cannot be used as model "
        "version sources.",
    )


# 2.14 update


def test_update_sets_empties_and_erases_the_description(filled):
    """Only the version is updated, not its model."""
    before = updated(filled)
    for description, expected in (("new", "new"), ("", ""), (None, None)):
        body = {"name": "m", "version": "2", "description": description}
        version = filled.call("PATCH", f"{VERSIONS}/update", body).json["model_version"]
        assert version.get("description") == expected
        assert version["aliases"] == ["champ"]
    after = updated(filled)
    assert after[:2] == before[:2]
    assert after[2] > before[2]


# 2.15 transition-stage


def move(server, version, stage, **rest):
    body = {"name": "m", "version": version, "stage": stage, **rest}
    return server.call("POST", f"{VERSIONS}/transition-stage", body)


def test_transition_updates_version_and_model_even_without_a_change(filled):
    """Input in any case, output as MLflow spells it."""
    for stage in ("production", "PRODUCTION"):
        before = updated(filled)
        version = move(filled, "2", stage).json["model_version"]
        assert (version["current_stage"], version["aliases"]) == ("Production", ["champ"])
        after = updated(filled)
        assert after[0] > before[0]
        assert after[1] == before[1]
        assert after[2] > before[2]


def test_transition_archives_the_others_when_asked(filled):
    """In the same step, and at the same time."""
    move(filled, "1", "Production")
    assert move(filled, "2", "Production").status == 200
    assert get(filled)["current_stage"] == "Production"
    move(filled, "2", "Production", archive_existing_versions=True)
    assert get(filled)["current_stage"] == "Archived"
    assert get(filled)["last_updated_timestamp"] == get(filled, "2")["last_updated_timestamp"]


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_transition_archives_in_active_stages_only(filled, stage):
    """400, so that clients do not repeat it for minutes."""
    refuses(
        move(filled, "1", stage, archive_existing_versions=True),
        "Model version transition cannot archive existing model versions because "
        f"'{stage}' is not an Active stage. Valid stages are ['Staging', 'Production']",
    )


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (None, missing("stage")),
        ("", missing("stage")),
        (1, wrong_type("stage", 1)),
        ("unknown", NO_STAGE.format("unknown")),
        (" Staging", NO_STAGE.format(" Staging")),
        ("Deleted_Internal", NO_STAGE.format("Deleted_Internal")),
    ],
)
def test_transition_refuses_what_is_no_stage(filled, stage, message):
    """The internal stage of deleted versions included."""
    refuses(move(filled, "1", stage), message)


# 2.16 delete


def test_delete_hides_the_version_and_never_reuses_its_number(filled):
    """Its alias goes along, the model is updated; a second time it is not found."""
    before = model(filled)
    body = {"name": "m", "version": "2"}
    assert filled.call("DELETE", f"{VERSIONS}/delete", body).json == {}
    after = model(filled)
    assert "aliases" not in after
    assert after["last_updated_timestamp"] > before["last_updated_timestamp"]
    message = "Model Version (name=m, version=2) not found"
    not_found(filled.call("DELETE", f"{VERSIONS}/delete", body), message)
    not_found(filled.call("GET", f"{VERSIONS}/get", body), message)
    assert create(filled).json["model_version"]["version"] == "3"


def test_delete_tells_a_wrong_version_before_a_wrong_name(filled):
    """The other way round than everywhere else."""
    body = {"name": "a/b", "version": "x"}
    version = "Parameter 'version' must be an integer, got 'x'."
    refuses(filled.call("DELETE", f"{VERSIONS}/delete", body), version)
    name = "Invalid model name 'a/b'. Names cannot contain '/' or ':'."
    refuses(filled.call("PATCH", f"{VERSIONS}/update", body), name)
    refuses(filled.call("DELETE", f"{VERSIONS}/delete", {**body, "version": "1"}), name)


def test_deleted_version_is_nowhere(filled):
    """The one before it is the latest again; nothing refers to a number that was deleted."""
    filled.call("DELETE", f"{VERSIONS}/delete", {"name": "m", "version": "2"})
    latest = filled.call("GET", f"{MODEL}/alias", {"name": "m", "alias": "latest"})
    assert latest.json["model_version"]["version"] == "1"
    for shown in (
        filled.call("POST", f"{MODEL}/get-latest-versions", {"name": "m"}).json["model_versions"],
        filled.call("GET", f"{VERSIONS}/search").json["model_versions"],
        model(filled)["latest_versions"],
    ):
        assert [version["version"] for version in shown] == ["1"]
    not_found(create(filled, "n", "models:/m/2"), "Model Version (name=m, version=2) not found")
    refuses(create(filled, "n", "models:/m@champ"), "Registered model alias champ not found.")
    assert create(filled, "n", "models:/m/latest").json["model_version"]["source"] == "models:/m/1"


# 2.17 get, 2.18 search


def test_get_shows_tags_and_aliases(filled):
    """Both of them by key."""
    version = get(filled, "2")
    assert version["tags"] == [{"key": "t", "value": "1"}]
    assert version["aliases"] == ["champ"]


def numbers(answer):
    return [(v["name"], v["version"]) for v in answer.json.get("model_versions", [])]


def test_search_finds_versions_last_updated_first(filled):
    """With tags; deleted ones are not found."""
    create(filled, "n")
    answer = filled.call("GET", f"{VERSIONS}/search")
    assert numbers(answer) == [("n", "1"), ("m", "2"), ("m", "1")]
    assert answer.json["model_versions"][1]["tags"] == [{"key": "t", "value": "1"}]
    filled.call("DELETE", f"{VERSIONS}/delete", {"name": "m", "version": "2"})
    assert numbers(filled.call("GET", f"{VERSIONS}/search")) == [("n", "1"), ("m", "1")]


def test_search_filters_orders_and_pages(filled):
    """The language has tests of its own; this is that it is reached."""
    query = [("filter", "name = 'm' AND tags.t = '1'")]
    assert numbers(filled.call("GET", f"{VERSIONS}/search", query=query)) == [("m", "2")]
    query = [("order_by", "version_number ASC"), ("max_results", "1")]
    first = filled.call("GET", f"{VERSIONS}/search", query=query)
    assert numbers(first) == [("m", "1")]
    query.append(("page_token", first.json["next_page_token"]))
    assert numbers(filled.call("GET", f"{VERSIONS}/search", query=query)) == [("m", "2")]


def test_search_page_token_belongs_to_its_search(filled):
    """A token of another filter is refused, not misread."""
    query = [("max_results", "1")]
    token = filled.call("GET", f"{VERSIONS}/search", query=query).json["next_page_token"]
    query = [("page_token", token), ("filter", "name = 'm'")]
    refuses(
        filled.call("GET", f"{VERSIONS}/search", query=query),
        "Invalid page token, it was issued for another filter or order_by",
    )


# 2.19 get-download-uri


def test_download_uri_says_what_is_missing_in_its_own_words(filled):
    """Its fields are checked by the registry alone."""
    path = f"{VERSIONS}/get-download-uri"
    refuses(
        filled.call("GET", path, query=[("version", "1")]),
        "Missing value for required parameter 'name'.",
    )
    refuses(
        filled.call("GET", path, query=[("name", "m")]),
        "Parameter 'version' must be an integer, got ''.",
    )


# 2.20 set-tag, 2.21 delete-tag


def test_tags_are_set_replaced_and_deleted_without_moving_times(filled):
    """An absent value is the empty text; an absent tag is deleted without complaint."""
    before = updated(filled)
    body = {"name": "m", "version": "1", "key": "a/b"}
    for value in ("1", "2", None):
        assert filled.call("POST", f"{VERSIONS}/set-tag", {**body, "value": value}).json == {}
    assert get(filled)["tags"] == [{"key": "a/b", "value": ""}]
    for _ in range(2):
        assert filled.call("DELETE", f"{VERSIONS}/delete-tag", body).json == {}
    assert "tags" not in get(filled)
    assert updated(filled) == before


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, missing("key")),
        ("", missing("key")),
        ("a//b", not_a_path("a//b", "a/b", "key")),
        ("k" * 251, "'key' exceeds the maximum length of 250 characters"),
    ],
)
@pytest.mark.parametrize(("method", "route"), [("POST", "set-tag"), ("DELETE", "delete-tag")])
def test_illegal_tag_keys_are_refused(filled, method, route, key, message):
    """As on models."""
    body = {"name": "m", "version": "1", "key": key}
    refuses(filled.call(method, f"{VERSIONS}/{route}", body), message)


@pytest.mark.parametrize(("method", "route"), [("POST", "set-tag"), ("DELETE", "delete-tag")])
def test_illegal_tag_keys_are_told_before_missing_versions(filled, method, route):
    """Also of a version that cannot exist."""
    body = {"name": "absent", "version": "0", "key": "/a", "value": "v"}
    refuses(filled.call(method, f"{VERSIONS}/{route}", body), not_a_path("/a", "/a", "key"))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("k", "'value' exceeds the maximum length of 100000 characters"),
        ("mlflow.prompt.text", "Prompt text exceeds max length of 100000 characters."),
    ],
)
def test_tag_values_end_at_100000_characters(filled, key, message):
    """The text of a prompt says so in its own words."""
    body = {"name": "m", "version": "1", "key": key, "value": "é" * 100_000}
    assert filled.call("POST", f"{VERSIONS}/set-tag", body).status == 200
    answer = filled.call("POST", f"{VERSIONS}/set-tag", {**body, "value": body["value"] + "x"})
    refuses(answer, message)


def test_faults_are_told_in_the_order_name_version_key(filled):
    """As MLflow tells them, so that a client's tests see the same one."""
    body = {"name": "a/b", "version": "x", "key": "!"}
    path = f"{VERSIONS}/set-tag"
    refuses(
        filled.call("POST", path, body),
        "Invalid model name 'a/b'. Names cannot contain '/' or ':'.",
    )
    answer = filled.call("POST", path, {**body, "name": "m"})
    refuses(answer, "Parameter 'version' must be an integer, got 'x'.")
    body = {"name": "a/b", "alias": "a b", "version": "x"}
    answer = filled.call("POST", f"{MODEL}/alias", body)
    refuses(answer, "Invalid model name 'a/b'. Names cannot contain '/' or ':'.")


BAD_KEY = "Invalid value "
LONG_VALUE = {"key": "k", "value": "v" * 100_001}


@pytest.mark.parametrize(
    ("method", "path", "body", "start"),
    [
        ("POST", f"{VERSIONS}/create", {"name": "no", "source": "/p"}, LOCAL[:29]),
        ("POST", f"{VERSIONS}/create", {"name": "a/b", "source": "/p"}, LOCAL[:29]),
        ("POST", f"{VERSIONS}/create", {"name": "no", "source": "s3://b/p", "tags": [{"key": "!"}]}, BAD_KEY),
        ("POST", f"{VERSIONS}/create", {"name": "no", "source": "models:/gone/1"}, "Registered Model with name=gone"),
        ("POST", f"{MODEL}/rename", {"name": "no", "new_name": "a/b"}, "Invalid model name 'a/b'"),
        ("POST", f"{MODEL}/rename", {"name": "no", "new_name": "m"}, "Registered Model with name=no"),
        ("POST", f"{MODEL}/set-tag", {"name": "no", "key": "!"}, BAD_KEY),
        ("POST", f"{MODEL}/set-tag", {"name": "no", **LONG_VALUE}, "'value' exceeds"),
        ("DELETE", f"{MODEL}/delete-tag", {"name": "no", "key": "!"}, BAD_KEY),
        ("POST", f"{MODEL}/alias", {"name": "no", "alias": "v1", "version": "x"}, "Version alias name 'v1'"),
        ("POST", f"{MODEL}/alias", {"name": "no", "alias": "a b", "version": "x"}, "Invalid alias name: 'a b'"),
        ("DELETE", f"{MODEL}/alias", {"name": "no", "alias": "a b"}, "Invalid alias name: 'a b'"),
        ("GET", f"{MODEL}/alias", {"name": "no", "alias": "a b"}, "Invalid alias name: 'a b'"),
        ("GET", f"{MODEL}/alias", {"name": "no", "alias": "latest"}, "Registered Model with name=no"),
        ("POST", f"{VERSIONS}/transition-stage", {"name": "no", "version": "x", "stage": "y"}, NO_STAGE[:29]),
        ("POST", f"{VERSIONS}/set-tag", {"name": "no", "version": "1", **LONG_VALUE}, "'value' exceeds"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_of_several_faults_the_one_that_mlflow_names_is_named(filled, method, path, body, start):
    """Compared with MLflow's own answers; what is missing is mostly looked for last."""
    answer = filled.call(method, path, body)
    assert answer.json["message"].startswith(start)
