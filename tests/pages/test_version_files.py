"""What pages say of the files of a version: what is in them, whether they are sound, what differs."""

from __future__ import annotations

import json
import re

import pytest

from registry_core import Registry, StoreUnavailableError
from registry_core.backends import open_artifacts
from registry_core.stores.memory import MemoryStore
from registry_server.pages import mlmodel
from services.in_process import InProcessServer
from services.pages_browser import Browser, Parsed

INPUTS = [
    {"type": "long", "name": "tenure", "required": True},
    {"type": "array", "items": {"type": "string"}, "name": "<b>plans</b>", "required": False},
]
OUTPUTS = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
PARAMS = [{"name": "threshold", "type": "double", "default": 0.5, "shape": None}]


def described(inputs=INPUTS, release="1.8.0"):
    """An `MLmodel` as MLflow writes it."""
    return f"""\
artifact_path: model
flavors:
  python_function:
    env: {{conda: conda.yaml, virtualenv: python_env.yaml}}
    loader_module: mlflow.sklearn
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.pkl
    sklearn_version: {release}
mlflow_version: 3.17.2
signature:
  inputs: '{json.dumps(inputs)}'
  outputs: '{json.dumps(OUTPUTS)}'
  params: '{json.dumps(PARAMS)}'
utc_time_created: '2026-03-01 12:00:00.000000'
"""


@pytest.fixture
def place(tmp_path):
    return tmp_path


@pytest.fixture
def registry(place):
    registry = Registry(MemoryStore(), artifacts=open_artifacts(f"file://{place}/root"))
    registry.create_registered_model("churn")
    for number, (needs, release) in enumerate(
        [("scikit-learn==1.7.2\nnumpy", "1.7.2"), ("scikit_learn==1.8.0\n# a\n\nnumpy", "1.8.0")], 1
    ):
        folder = place / str(number)
        folder.mkdir()
        inputs = INPUTS if number == 2 else INPUTS[:1]
        (folder / "MLmodel").write_text(described(inputs, release))
        (folder / "requirements.txt").write_text(needs)
        (folder / "model.pkl").write_bytes(b"x" * 2_000_000 + b"%d" % number)
        (folder / "same.txt").write_text("same")
        registry.push_model_version("churn", folder)
    return registry


@pytest.fixture
def browser(registry):
    with InProcessServer(registry) as server:
        yield Browser(server)


def test_version_says_what_its_model_says(browser):
    text = browser.page("/models/churn/versions/2").text
    assert "python_function Python 3.11.2" in text
    assert "sklearn 1.8.0" in text
    assert "inputs tenure long" in text
    assert "<b>plans</b> array of string optional" in text
    assert "outputs 0 tensor of float64 (any, 2)" in text
    assert "params threshold double default 0.5" in text
    assert "Needs 2 packages scikit_learn==1.8.0 numpy" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: &x [1]\nb: *x\n", "it refers to a part of itself"),
        (b"a: !!python/object/apply:os.system ['true']\n", "it names a type of its own"),
        (b"[" * 5_000, "depth"),
        (b"{a: " * 30 + b"}" * 30, "too deep"),
        (b"a: [" + b"1," * 6_000 + b"]", "there is too much in it"),
        (b"\xff\xfe", "codec"),
        (b"- a\n", "it has no fields"),
        (b"", "it has no fields"),
        (b"a: '" + b"x" * 300_000 + b"'", "which is more than 262144"),
    ],
    ids=["alias", "tag", "depth of flow", "depth", "values", "bytes", "list", "nothing", "size"],
)
def test_a_card_that_cannot_be_read_is_said_and_hides_nothing_else(
    registry, browser, place, content, said
):
    folder = place / "bad"
    folder.mkdir()
    (folder / "MLmodel").write_bytes(content)
    registry.push_model_version("churn", folder)
    page = browser.page("/models/churn/versions/3")
    assert said in page.text
    assert "MLmodel" in page.links


@pytest.mark.parametrize(
    "inputs",
    ["[", "{}", "[1]", "null", "[" * 2_000, '[{"type": {"a": [[[[1]]]]}}]'],
    ids=["cut", "object", "number", "null", "deep", "type"],
)
def test_a_signature_that_is_none_is_no_failure(inputs):
    card = mlmodel.card(f"flavors: {{a: b}}\nsignature: {{inputs: '{inputs}'}}\n".encode())
    assert card.flavors == (("a", ""),)
    assert len(card.problems) == (inputs not in ("null", '[{"type": {"a": [[[[1]]]]}}]'))


def test_files_are_verified_and_each_is_named(browser, registry, place):
    form = browser.form("/models/churn/versions/2", "/verify")
    answer = browser.submit(form)
    page = Parsed(answer.body.decode())
    assert (answer.status, answer.headers["x-accel-buffering"]) == (200, "no")
    assert "content-length" not in answer.headers
    assert "sound MLmodel" in page.text
    assert "All 4 files are what was registered. 2.0 MB were read." in page.text
    folder, _ = registry.files.located_manifest(registry.get_model_version("churn", 2))
    there = place / "root" / folder
    (there / "model.pkl").chmod(0o644)
    (there / "model.pkl").write_bytes(b"y" * 2_000_001)
    there.chmod(0o755)
    (there / "same.txt").unlink()
    (there / "added.txt").write_text("?")
    form = browser.form("/models/churn/versions/2", "/verify")
    text = Parsed(browser.submit(form).body.decode()).text
    assert "wrong model.pkl 'model.pkl': expected sha256" in text
    assert "wrong same.txt" in text
    assert "wrong added.txt" in text
    assert "sound requirements.txt" in text
    assert "3 of 5 files are not what was registered. Do not load this version." in text
    form = browser.form("/models/churn/versions/2", "/verify")
    data = browser.post(form.action, form.fields, {"accept": "application/json"}).json
    assert data["verified"] is False
    assert [file["path"] for file in data["files"] if file["problem"]] == [
        "model.pkl",
        "same.txt",
        "added.txt",
    ]


def test_a_check_is_sent_while_it_goes_on(browser, registry, monkeypatch):
    """Else a browser shows nothing for minutes, and a proxy gives up."""
    monkeypatch.setattr("registry_server.pages.answers.PIECE_SECONDS", 0.0)
    monkeypatch.setattr("registry_server.pages.views.files._STEP_BYTES", 10_000)
    form = browser.form("/models/churn/versions/2", "/verify")
    sent = []
    app = browser.server.app

    async def watched(scope, receive, send):
        async def noted(message):
            sent.append(message.get("body", b""))
            await send(message)

        await app(scope, receive, noted)

    monkeypatch.setattr(browser.server, "app", watched)
    browser.submit(form)
    pieces = [piece.decode() for piece in sent]
    first = next(at for at, piece in enumerate(pieces) if "sound" in piece)
    last = next(at for at, piece in enumerate(pieces) if "are what was registered" in piece)
    assert first < last
    assert re.search(r"model.pkl</code> [\d.]+ [kM]B of 2.0 MB", "".join(pieces))


def test_a_check_that_the_store_breaks_off_says_so(browser, registry, monkeypatch):
    real = registry.artifacts.read

    def read(path, **rest):
        if path.endswith("model.pkl"):
            raise StoreUnavailableError("the bucket is away")
        return real(path, **rest)

    form = browser.form("/models/churn/versions/2", "/verify")
    monkeypatch.setattr(registry.artifacts, "read", read)
    text = Parsed(browser.submit(form).body.decode()).text
    assert "The check could not go on. the bucket is away" in text
    assert "are what was registered" not in text


def test_a_version_whose_files_are_elsewhere_is_not_verified(browser, registry):
    registry.create_model_version("churn", source="s3://elsewhere/1")
    token = browser.form("/models/churn/versions/2", "/verify").fields
    answer = browser.post("/models/churn/versions/3/verify", token)
    assert answer.status == 400
    assert "not below the artifact root" in Parsed(answer.body.decode()).text


def test_comparison_has_signature_requirements_and_files_by_digest(browser):
    page = browser.page("/models/churn/compare?a=1&b=2&only=differences")
    assert "input <b>plans</b> none array of string, optional" in page.text
    assert "needs scikit-learn scikit-learn==1.7.2 scikit_learn==1.8.0" in page.text
    assert "flavour sklearn 1.7.2 1.8.0" in page.text
    assert "model.pkl" in page.text
    for same in ("tenure", "numpy", "same.txt"):
        assert same not in page.text
    data = browser.get("/models/churn/compare?a=1&b=2", accept="application/json").json
    (file,) = (row for row in data["differences"] if row["label"] == "model.pkl")
    assert len(file["before"].split()[0]) == 64
    assert file["before"] != file["after"]
