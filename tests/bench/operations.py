"""The operations that are measured, as both servers take them.

Marks in a request: see `wrk.lua`.
"""

import http.client
import json
import re
import urllib.parse

import attrs

from bench.data import LARGE, SHARED_RUN, UNSTAGED, name_of

API = "/api/2.0/mlflow"

MIDDLE = UNSTAGED // 2
"""The number in the names of new models, between those of the registry."""


@attrs.frozen(kw_only=True)
class Operation:
    """One operation: how it is asked for, and the figures that it should reach."""

    name: str
    path: str
    method: str = "GET"
    body: str = ""
    ratio: float | None = None
    """Requests per second, in those of MLflow."""
    cpu_us: float | None = None
    """Of the server process, for each request."""

    @property
    def writes(self):
        """Whether it changes the registry."""
        return self.method != "GET"


def operations(models, versions):
    """Every operation, over a registry with so many models of so many versions."""
    name = name_of(f"@R:{models}@", len(str(models - 1)))
    get = {"ratio": 30, "cpu_us": 250}
    search = {"ratio": 30, "cpu_us": 2_500}
    search_versions = {"ratio": 30, "cpu_us": 1_000}
    return [
        _get("get model", "/registered-models/get", get, name=name),
        _get("get version", "/model-versions/get", get, name=name, version=1 + versions // 2),
        _get("get by alias", "/registered-models/alias", get, name=name, alias="champion"),
        _models("page of 100 models", search, max_results=100),
        # From the end, where the models without stages are.
        _models("page, no stages", search, max_results=100, order_by="name DESC"),
        _models("models by tag", search, filter="tags.team = 'risk'", max_results=20),
        _models("models by LIKE", search, filter="name LIKE 'model-0001%'", max_results=20),
        # Part of a name that one model has: what a page looks for when somebody types a name.
        _models(
            "models by part",
            search,
            filter="name ILIKE '%ODEL-000777%'",
            max_results=25,
            order_by="last_updated_timestamp DESC",
        ),
        _models("models by update", search, order_by="last_updated_timestamp DESC", max_results=20),
        _versions("versions by name", search_versions, f"name = '{name}'"),
        _versions("versions by run id", search_versions, f"run_id = 'run-of-{name}-1'"),
        _versions("versions by tag", search_versions, "tags.kind = 'rare'"),
        # What most versions have, or what has most of them.
        _versions("versions of large model", search_versions, f"name = '{name_of(LARGE)}'"),
        _versions("versions by common run", search_versions, f"run_id = '{SHARED_RUN}'"),
        _versions("versions by common tag", search_versions, "tags.kind = 'common'"),
        *writes(name),
    ]


def writes(name):
    """The operations that change something, on models of this name.

    They leave the answers to the others as they are, except that models get more versions: new
    models are on neither the first page nor the last, and no filter asks for the tag that is set.
    """
    return [
        _post("create model", "/registered-models/create", name=f"{name_of(MIDDLE)}-@N@"),
        create_version(name),
        _post("set tag", "/registered-models/set-tag", name=name, key="number", value="@N@"),
        _post("set alias", "/registered-models/alias", name=name, alias="champion", version="1"),
    ]


def create_version(name):
    """Creates a version of models of this name, as clients do: from a run."""
    return _post(
        "create version",
        "/model-versions/create",
        name=name,
        source="s3://bucket/x",
        run_id="run-@N@",
    )


def get_model(name):
    """Gets a model."""
    return _get("get model", "/registered-models/get", {}, name=name)


def page_of_models(token="", max_results=100):
    """The page of models after a token."""
    query = {"max_results": max_results} | ({"page_token": token} if token else {})
    return _models("deep page of 100 models" if token else "page of 100 models", {}, **query)


def ask(url, operation):
    """The answer to the operation, asked once, its marks replaced by the smallest values.

    Raises:
        SystemExit: it is not an answer of success.
    """
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=120)
    headers = {"Content-Type": "application/json"} if operation.body else {}
    connection.request(
        operation.method, plain(operation.path), plain(operation.body) or None, headers
    )
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != http.HTTPStatus.OK:
        raise SystemExit(f"{operation.name} at {url}: {response.status} {answer.decode()}")
    return json.loads(answer)


def plain(text):
    """A path or body with its marks replaced by the smallest values."""
    text = re.sub(r"@R:(\d+)@", lambda found: "0" * len(str(int(found[1]) - 1)), text)
    return text.replace("@N@", "0")


def deep_token(url, pages):
    """The token of a page, found by walking there."""
    token = ""
    for _ in range(pages):
        token = ask(url, page_of_models(token))["next_page_token"]
    return token


def _get(name, path, bars, /, **query):
    # The marks of the load generator stay readable.
    text = urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="@:")
    return Operation(name=name, path=f"{API}{path}?{text}", **bars)


def _models(name, bars, /, **query):
    return _get(name, "/registered-models/search", bars, **query)


def _versions(name, bars, text):
    return _get(name, "/model-versions/search", bars, filter=text, max_results=20)


def _post(name, path, /, **fields):
    return Operation(
        name=name,
        path=f"{API}{path}",
        method="POST",
        body=json.dumps(fields),
        ratio=10,
        cpu_us=700,
    )
