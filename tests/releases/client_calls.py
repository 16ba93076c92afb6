"""A program that makes every registry call of one release of MLflow's client, and checks the results.

It is run by the interpreter of that release, from 1.30 on, and so needs nothing but MLflow, numpy,
pandas and scikit-learn, and no Python newer than 3.9. Its arguments are the URLs of servers. It prints
one JSON object: the release, and for each server and each call that the release has, None or what
went wrong.
"""

import contextlib
import functools
import importlib
import json
import os
import posixpath
import sys
import tempfile
import traceback
import uuid
import warnings

os.environ.update(
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ALLOW_FILE_STORE="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    GIT_PYTHON_REFRESH="quiet",
    NO_PROXY="127.0.0.1",
)
warnings.simplefilter("ignore")

import mlflow
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

ROWS, LABELS = [[0.0, 0.1], [0.2, 0.9], [0.8, 0.2], [1.0, 1.0]], [0, 0, 1, 1]
ESTIMATOR = LogisticRegression().fit(ROWS, LABELS)
# MLflow would find them out in a process of its own, which takes seconds.
REQUIREMENTS = ["scikit-learn"]
URL = "https://8.8.8.8/hook"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"

CHECKS = {}


def check(*calls):
    """Says which calls a function makes; all of them must be in a release for it to be run."""

    def note(function):
        CHECKS[function] = calls
        return function

    return note


def find(call):
    """What a dotted name stands for in this release; None where it has no such call."""
    parts = call.split(".")
    target = MlflowClient if parts[0] == "MlflowClient" else mlflow
    for number, part in enumerate(parts[1:], 1):
        if target is mlflow or parts[0] == "mlflow":
            with contextlib.suppress(ImportError):
                importlib.import_module(".".join(parts[:number]))
        if not hasattr(target, part):
            with contextlib.suppress(ImportError):
                importlib.import_module(".".join(parts[: number + 1]))
        target = getattr(target, part, None)
        if target is None:
            return None
    return target


def new(prefix="m"):
    return prefix + "-" + uuid.uuid4().hex[:10]


def refused(code, call, *args, **kwargs):
    """The call is refused with that code, in an exception of MLflow's."""
    try:
        call(*args, **kwargs)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, str(error))
    else:
        raise AssertionError("not refused: " + code)


class NotThereError(Exception):
    """The release has a call of that name, and not for a registry."""


@functools.lru_cache(maxsize=None)
def saved(estimator):
    """The directory of a saved model."""
    directory = os.path.join(tempfile.mkdtemp(), "model")
    importlib.import_module("mlflow.sklearn").save_model(
        estimator, directory, pip_requirements=REQUIREMENTS
    )
    with open(os.path.join(directory, "MLmodel"), "a") as file:
        # Clients before 3.0 read no description of a model that no run has logged.
        file.write("run_id: r1\nartifact_path: model\n")
    return directory


class Calls:
    """The client, and what several checks need."""

    def __init__(self, url):
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        self.url = url
        self.client = MlflowClient(tracking_uri=url, registry_uri=url)
        self.estimator = ESTIMATOR

    def model(self, versions=0):
        name = new()
        self.client.create_registered_model(name)
        for number in range(versions):
            self.client.create_model_version(name, "s3://b/p%d" % number)
        return name

    def uploaded(self):
        """A saved model, put on the server file by file; its source there."""
        directory, key = saved(self.estimator), new("up")
        for folder, _, files in os.walk(directory):
            for file in files:
                path = os.path.join(folder, file)
                where = posixpath.join(key, os.path.relpath(path, directory))
                with open(path, "rb") as content:
                    requests.put(self.url + PROXY + "/" + where, data=content).raise_for_status()
        return "mlflow-artifacts:/" + key

    def served(self):
        """The URI of a model whose files are on the server."""
        name = self.model()
        self.client.create_model_version(name, self.uploaded())
        return "models:/%s/1" % name


C = "MlflowClient."


@check(C + "create_registered_model", C + "get_registered_model", C + "delete_registered_model")
def models(it):
    name = new("é 'q' ")
    made = it.client.create_registered_model(name, {"k": 1}, "d")
    assert (made.name, made.description, made.tags) == (name, "d", {"k": "1"}), made
    found = it.client.get_registered_model(name)
    assert (found.creation_timestamp, found.tags) == (made.creation_timestamp, {"k": "1"})
    refused("RESOURCE_ALREADY_EXISTS", it.client.create_registered_model, name)
    it.client.delete_registered_model(name)
    refused("RESOURCE_DOES_NOT_EXIST", it.client.get_registered_model, name)


@check(C + "update_registered_model", C + "rename_registered_model")
def changes(it):
    name, other = it.model(1), new()
    assert it.client.update_registered_model(name, "new").description == "new"
    it.client.rename_registered_model(name, other)  # which says nothing before 2.0
    assert it.client.get_registered_model(other).description == "new"
    assert it.client.get_model_version(other, "1").source == "s3://b/p0"
    refused("RESOURCE_DOES_NOT_EXIST", it.client.update_registered_model, name, "d")


@check(C + "search_registered_models")
def searches(it):
    prefix = new()
    for suffix in "abc":
        it.client.create_registered_model(prefix + suffix, {"s": suffix})
    like = "name LIKE '%s%%'" % prefix
    page = it.client.search_registered_models(like, 2, ["name DESC"])
    assert [each.name[-1] for each in page] == ["c", "b"]
    # Since 3.18.0 pages can have a count; no answer about a registry has a field for it.
    assert getattr(page, "total_count", None) is None
    page = it.client.search_registered_models(like, 2, ["name DESC"], page_token=page.token)
    assert ([each.name[-1] for each in page], page.token or None) == (["a"], None)
    refused("INVALID_PARAMETER_VALUE", it.client.search_registered_models, "name ~ 'x'")


@check(C + "list_registered_models")
def lists(it):
    names = {it.model() for _ in range(3)}
    found, token = [], None
    while True:
        page = it.client.list_registered_models(max_results=2, page_token=token)
        assert len(page) <= 2
        found += [each.name for each in page]
        token = page.token
        if not token:
            break
    assert names <= set(found)
    assert found == sorted(found)


@check(C + "set_registered_model_tag", C + "delete_registered_model_tag")
def model_tags(it):
    name = it.model()
    it.client.set_registered_model_tag(name, "a b/c", 3)
    it.client.set_registered_model_tag(name, "gone", "x")
    it.client.delete_registered_model_tag(name, "gone")
    assert it.client.get_registered_model(name).tags == {"a b/c": "3"}


@check(
    C + "set_registered_model_alias",
    C + "delete_registered_model_alias",
    C + "get_model_version_by_alias",
)
def aliases(it):
    name = it.model(2)
    it.client.set_registered_model_alias(name, "champion", "2")
    assert str(it.client.get_model_version_by_alias(name, "champion").version) == "2"
    assert it.client.get_registered_model(name).aliases == {"champion": "2"}
    it.client.delete_registered_model_alias(name, "champion")
    refused("INVALID_PARAMETER_VALUE", it.client.get_model_version_by_alias, name, "champion")


@check(C + "create_model_version", C + "get_model_version", C + "delete_model_version")
def versions(it):
    name = it.model()
    made = it.client.create_model_version(
        name, "s3://b/p", "run1", tags={"k": "v"}, run_link="https://r/1", description="d"
    )
    found = it.client.get_model_version(name, "1")
    for each in (made, found):
        assert (str(each.version), each.source, each.run_id) == ("1", "s3://b/p", "run1")
        assert (each.tags, each.run_link, each.description) == ({"k": "v"}, "https://r/1", "d")
        assert (each.status, each.current_stage) == ("READY", "None")
    it.client.delete_model_version(name, "1")
    refused("RESOURCE_DOES_NOT_EXIST", it.client.get_model_version, name, "1")
    assert str(it.client.create_model_version(name, "s3://b/p").version) == "2"


@check(C + "update_model_version", C + "set_model_version_tag", C + "delete_model_version_tag")
def version_changes(it):
    name = it.model(1)
    assert it.client.update_model_version(name, "1", "new").description == "new"
    it.client.set_model_version_tag(name, "1", "k", "v")
    it.client.set_model_version_tag(name, "1", "gone", "v")
    it.client.delete_model_version_tag(name, "1", "gone")
    assert it.client.get_model_version(name, "1").tags == {"k": "v"}


@check(
    C + "transition_model_version_stage",
    C + "get_latest_versions",
    C + "get_model_version_stages",
)
def stages(it):
    name = it.model(3)
    it.client.transition_model_version_stage(name, "1", "Production")
    moved = it.client.transition_model_version_stage(
        name, "2", "production", archive_existing_versions=True
    )
    assert moved.current_stage == "Production"
    latest = it.client.get_latest_versions(name)
    assert {each.current_stage: str(each.version) for each in latest} == {
        "Archived": "1",
        "Production": "2",
        "None": "3",
    }
    [one] = it.client.get_latest_versions(name, ["Production"])
    assert str(one.version) == "2"
    assert it.client.get_model_version_stages(name, "1") == [
        "None",
        "Staging",
        "Production",
        "Archived",
    ]


@check(C + "search_model_versions", C + "get_model_version_download_uri")
def version_searches(it):
    name = it.model(3)
    found = it.client.search_model_versions("name = '%s'" % name)
    assert {str(each.version) for each in found} == {"1", "2", "3"}
    assert it.client.get_model_version_download_uri(name, "2") == "s3://b/p1"


@check(C + "copy_model_version")
def copies(it):
    name, other = it.model(1), new()
    copy = it.client.copy_model_version("models:/%s/1" % name, other)
    assert (copy.name, copy.source) == (other, "models:/%s/1" % name)
    assert it.client.get_model_version_download_uri(other, "1") == "s3://b/p0"


@check("mlflow.register_model")
def registers(it):
    name = new()
    for number in "12":
        made = mlflow.register_model("s3://b/p", name)
        assert str(made.version) == number


@check("mlflow.search_registered_models", "mlflow.search_model_versions")
def fluent_searches(it):
    name = it.model(2)
    [model] = mlflow.search_registered_models(filter_string="name = '%s'" % name)
    assert model.name == name
    assert len(mlflow.search_model_versions(filter_string="name = '%s'" % name)) == 2


@check("mlflow.set_model_version_tag")
def fluent_tags(it):
    name = it.model(1)
    mlflow.set_model_version_tag(name, "1", "k", "v")
    assert it.client.get_model_version(name, "1").tags == {"k": "v"}


@check("mlflow.sklearn.log_model")
def logs(it):
    name = new()
    mlflow.set_tracking_uri("file://" + os.path.join(tempfile.mkdtemp(), "runs"))
    try:
        # Where the registry can be read from: it keeps nothing of a directory of this disk.
        where = it.url + PROXY + "/" + new("runs")
        experiment = mlflow.create_experiment(new("e"), where)
        with mlflow.start_run(experiment_id=experiment):
            mlflow.sklearn.log_model(
                it.estimator,
                "model",
                registered_model_name=name,
                pip_requirements=REQUIREMENTS,
            )
        loaded = mlflow.pyfunc.load_model("models:/%s/1" % name)
        assert list(loaded.predict(ROWS)) == list(it.estimator.predict(ROWS))
    finally:
        mlflow.set_tracking_uri(it.url)


@check("mlflow.pyfunc.load_model", "mlflow.sklearn.load_model")
def loads(it):
    uri = it.served()
    expected = list(it.estimator.predict(ROWS))
    assert list(mlflow.pyfunc.load_model(uri).predict(ROWS)) == expected
    assert list(mlflow.sklearn.load_model(uri).predict(ROWS)) == expected


@check("mlflow.artifacts.download_artifacts")
def downloads(it):
    directory = mlflow.artifacts.download_artifacts(it.served())
    assert "MLmodel" in os.listdir(directory)


@check("mlflow.artifacts.list_artifacts")
def listings(it):
    assert "MLmodel" in [each.path for each in mlflow.artifacts.list_artifacts(it.served())]


@check("mlflow.models.get_model_info")
def infos(it):
    assert "sklearn" in mlflow.models.get_model_info(it.served()).flavors


@check(
    C + "create_webhook",
    C + "get_webhook",
    C + "list_webhooks",
    C + "update_webhook",
    C + "delete_webhook",
    C + "test_webhook",
)
def webhooks(it):
    # Nothing listens there: how a test went is told all the same.
    url = "http://127.0.0.1:9/hook"
    made = it.client.create_webhook(new(), url, ["model_version.created"], status="DISABLED")
    assert it.client.get_webhook(made.webhook_id).url == url
    assert made.webhook_id in [each.webhook_id for each in it.client.list_webhooks()]
    assert it.client.update_webhook(made.webhook_id, description="d").description == "d"
    assert it.client.test_webhook(made.webhook_id).success is False
    it.client.delete_webhook(made.webhook_id)
    refused("RESOURCE_DOES_NOT_EXIST", it.client.get_webhook, made.webhook_id)


@check(C + "register_prompt", C + "load_prompt", C + "set_prompt_alias", C + "delete_prompt_alias")
def client_prompts(it):
    prompts(it.client)


@check(
    "mlflow.register_prompt",
    "mlflow.load_prompt",
    "mlflow.set_prompt_alias",
    "mlflow.delete_prompt_alias",
)
def fluent_prompts(it):
    prompts(mlflow)


@check(
    "mlflow.genai.register_prompt",
    "mlflow.genai.load_prompt",
    "mlflow.genai.set_prompt_alias",
    "mlflow.genai.delete_prompt_alias",
)
def genai_prompts(it):
    prompts(mlflow.genai)


# Before, a prompt was no more than its versions to a client, and was deleted by each of them.
HAS_PARTS = hasattr(MlflowClient, "delete_prompt_version")


def prompts(api):
    """The calls that each of the three has, at first in one and then in the other."""
    name = new("p")
    made = api.register_prompt(name=name, template="Hi {{x}}")
    assert int(made.version) == 1
    assert api.load_prompt("prompts:/%s/1" % name).template == "Hi {{x}}"
    api.register_prompt(name=name, template="Ho {{x}}")
    api.set_prompt_alias(name, "live", 2)
    assert api.load_prompt("prompts:/%s@live" % name).template == "Ho {{x}}"
    api.delete_prompt_alias(name, "live")
    # The first of these clients have a code of their own, whatever a server says.
    code = "INVALID_PARAMETER_VALUE" if HAS_PARTS else "RESOURCE_DOES_NOT_EXIST"
    refused(code, api.load_prompt, "prompts:/%s@live" % name)


@check(C + "search_prompts")
def client_prompt_searches(it):
    prompt_searches(it.client)


@check("mlflow.search_prompts")
def fluent_prompt_searches(it):
    prompt_searches(mlflow)


@check("mlflow.genai.search_prompts")
def genai_prompt_searches(it):
    prompt_searches(mlflow.genai)


def prompt_searches(api):
    name = new("p")
    mlflow.register_prompt(name=name, template="t")
    found = api.search_prompts(filter_string="name = '%s'" % name)
    assert [each.name for each in found] == [name]


@check(C + "create_prompt", C + "create_prompt_version", C + "get_prompt", C + "get_prompt_version")
def prompt_parts(it):
    name = new("p")
    it.client.create_prompt(name, "about")
    it.client.create_prompt_version(name, "Hi {{x}}", "first")
    assert it.client.get_prompt(name).description == "about"
    assert it.client.get_prompt_version(name, "1").template == "Hi {{x}}"


@check(C + "get_prompt_version_by_alias")
def prompt_versions(it):
    name = new("p")
    it.client.register_prompt(name, "one")
    it.client.set_prompt_alias(name, "live", 1)
    assert it.client.get_prompt_version_by_alias(name, "live").template == "one"


@check(C + "search_prompt_versions")
def prompt_version_searches(it):
    name = new("p")
    for text in ("one", "two"):
        it.client.register_prompt(name, text)
    try:
        found = it.client.search_prompt_versions(name)
    except MlflowException as error:
        if "only available in Unity Catalog" in str(error):
            # The client's own sentence, at first: it asks no server.
            raise NotThereError from None
        raise
    assert [each.version for each in found] == [2, 1]


@check(
    C + "set_prompt_tag",
    C + "delete_prompt_tag",
    C + "set_prompt_version_tag",
    C + "delete_prompt_version_tag",
)
def prompt_tags(it):
    name = new("p")
    it.client.register_prompt(name, "t")
    for key in ("a", "gone"):
        it.client.set_prompt_tag(name, key, "1")
        it.client.set_prompt_version_tag(name, "1", key, "2")
    it.client.delete_prompt_tag(name, "gone")
    it.client.delete_prompt_version_tag(name, "1", "gone")
    tags = it.client.get_prompt(name).tags
    assert tags["a"] == "1"
    assert "gone" not in tags
    tags = it.client.get_prompt_version(name, "1").tags
    assert tags["a"] == "2"
    assert "gone" not in tags


@check(
    "mlflow.genai.get_prompt_tags",
    "mlflow.genai.set_prompt_tag",
    "mlflow.genai.delete_prompt_tag",
    "mlflow.genai.set_prompt_version_tag",
    "mlflow.genai.delete_prompt_version_tag",
)
def genai_prompt_tags(it):
    name, genai = new("p"), mlflow.genai
    genai.register_prompt(name=name, template="t")
    for key in ("a", "gone"):
        genai.set_prompt_tag(name, key, "1")
        genai.set_prompt_version_tag(name, 1, key, "2")
    genai.delete_prompt_tag(name, "gone")
    genai.delete_prompt_version_tag(name, 1, "gone")
    tags = genai.get_prompt_tags(name)
    assert tags["a"] == "1"
    assert "gone" not in tags
    assert genai.load_prompt(name, version=1).tags["a"] == "2"


@check("mlflow.genai.set_prompt_model_config", "mlflow.genai.delete_prompt_model_config")
def genai_model_configs(it):
    name, genai = new("p"), mlflow.genai
    genai.register_prompt(name=name, template="t")
    genai.set_prompt_model_config(name, 1, {"model_name": "m"})
    assert genai.load_prompt(name, version=1).model_config["model_name"] == "m"
    genai.delete_prompt_model_config(name, 1)
    assert not genai.load_prompt(name, version=1).model_config


@check(C + "delete_prompt", C + "delete_prompt_version")
def prompt_deletions(it):
    name = new("p")
    for text in ("one", "two"):
        it.client.register_prompt(name, text)
    if HAS_PARTS:
        it.client.delete_prompt_version(name, "2")
        it.client.delete_prompt_version(name, "1")
        it.client.delete_prompt(name)
        assert it.client.get_prompt(name) is None
    else:
        registry = it.client._get_registry_client()
        it.client.delete_prompt(name, 2)
        refused("RESOURCE_DOES_NOT_EXIST", registry.get_model_version, name, "2")
        it.client.delete_prompt(name, 1)
        refused("RESOURCE_DOES_NOT_EXIST", registry.get_registered_model, name)


@check(C + "list_logged_prompts", C + "detach_prompt_from_run")
def prompt_runs(it):
    constants = importlib.import_module("mlflow.prompt.constants")
    name, run, tag = new("p"), new("run"), constants.PROMPT_ASSOCIATED_RUN_IDS_TAG_KEY
    it.client.register_prompt(name, "t")
    # As MLflow's own code does it; the public call is not for prompts, or was not there at first.
    it.client._get_registry_client().set_model_version_tag(name, "1", tag, run)
    assert [each.name for each in it.client.list_logged_prompts(run)] == [name]
    it.client.detach_prompt_from_run(run, "prompts:/%s/1" % name)
    assert it.client.list_logged_prompts(run) == []


def outcomes_of(url):
    """How each call went on the server at a URL."""
    it, outcomes = Calls(url), {}
    for function, calls in CHECKS.items():
        there = [call for call in calls if find(call) is not None]
        if not there:
            continue
        with contextlib.suppress(NotThereError):
            outcomes.update(dict.fromkeys(there, problem_of(function, it)))
    return outcomes


def problem_of(function, it):
    """What went wrong in a check, and in which of its lines."""
    try:
        function(it)
    except NotThereError:
        raise
    except Exception as error:  # noqa: BLE001 whatever it is, a call has failed
        frames = traceback.extract_tb(error.__traceback__)
        mine = [frame.line for frame in frames if frame.filename == __file__]
        return "%s: %s (%s)" % (type(error).__name__, error, mine[-1])
    return None


def main():
    """Makes all calls on each server, and prints how each went."""
    outcomes = [outcomes_of(url) for url in sys.argv[1:]]
    print(json.dumps({"release": mlflow.__version__, "outcomes": outcomes}))


if __name__ == "__main__":
    main()
