"""The pages about the HTTP API say what the server does, all of it."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
from litestar.routes import ASGIRoute

from registry_core import open_registry, validation
from registry_core.search import paging
from registry_core.stores.sql import results
from registry_core.wire import CODES, payloads
from registry_core.wire.prefixes import API, OWN_API
from registry_core.wire.uploads import UPLOADS_PATH
from registry_server import Settings, create_app
from registry_server.artifacts.service import OPERATIONS as ARTIFACTS
from registry_server.http.operations import LONG_BODY_BYTES, SHORT_BODY_BYTES
from registry_server.http.own import ALL_OPERATIONS
from registry_server.http.preview import PREVIEW_OPERATIONS
from registry_server.process import protocol

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "http-api.md").read_text()
DEVIATIONS = (ROOT / "docs" / "reference" / "deviations.md").read_text()
ROW = re.compile(r"^\| ([A-Z, ]+) \| `(/[^`]+)` \| (.*?) \| (.*?) ?\|$", re.MULTILINE)


def documented():
    """The fields and the answer of each method and path of the page."""
    return {
        (method.strip(), path): (fields, answer)
        for methods, path, fields, answer in ROW.findall(PAGE)
        for method in methods.split(",")
    }


def documented_as(path):
    """A path without the prefix that the page says once."""
    return path.removeprefix(API).removeprefix(OWN_API)


def methods(route):
    """What a route answers to, which of plain ASGI only the application knows."""
    return route.route_handler.fn.methods if isinstance(route, ASGIRoute) else route.methods


def test_page_has_every_route_of_the_api_and_no_other():
    """Found in the application itself, so that none is forgotten."""
    with open_registry("memory:") as registry:
        app = create_app(registry, Settings(artifacts=None))
    before_2_0 = [operation.documented_path for operation in PREVIEW_OPERATIONS]
    served = {
        (method, re.sub(r":\w+}", "}", documented_as(route.path)))
        for route in app.routes
        if route.path.startswith((f"{API}/", f"{OWN_API}/", *before_2_0))
        and "/model-registry/" not in route.path
        and route.path != UPLOADS_PATH
        for method in methods(route)
        if method not in {"HEAD", "OPTIONS"}
    }
    uploads = documented_as(f"{UPLOADS_PATH}/{{folder}}/{{upload_id}}")
    served |= {(method, uploads) for method, (first, *_), _ in ARTIFACTS if first == "uploads"}
    assert set(documented()) == served


def test_page_has_every_field_and_marks_the_required_ones():
    """In the order in which they are checked."""
    for operation in ALL_OPERATIONS:
        fields, answer = documented()[operation.method, documented_as(operation.documented_path)]
        assert fields == ", ".join(
            field.name + ("*" if field.default is attrs.NOTHING else "")
            for field in attrs.fields(operation.request)
        )
        assert answer == ", ".join(operation.answer.properties)


def test_page_has_every_error_code_with_its_status():
    """Those of the table, and those that the server adds to it."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([0-9, ]+) \|", PAGE, re.MULTILINE)
    assert {code for code, _ in rows} == set(CODES)
    for code, statuses in rows:
        assert str(CODES[code].status) in statuses.split(", ")


def test_page_has_the_limits():
    """As the code has them."""
    text = " ".join(PAGE.partition("## Limits")[2].split())
    for word, limit in (
        ("Names", validation.NAME_MAX_LENGTH),
        ("aliases", validation.ALIAS_MAX_LENGTH),
        ("tag keys", validation.TAG_KEY_MAX_LENGTH),
        ("tag values and descriptions", validation.TAG_VALUE_MAX_LENGTH),
        ("sources and run links", validation.SOURCE_MAX_LENGTH),
        ("run, user and model ids", validation.RUN_ID_MAX_LENGTH),
        ("may have", validation.TAGS_MAX_COUNT),
        ("a model", validation.ALIASES_MAX_COUNT),
        ("a query", payloads.MOST_QUERY_FIELDS),
        ("elsewhere, and", payloads.MOST_ELEMENTS),
        ("up to", validation.REGISTERED_MODELS_MAX_RESULTS),
        ("models or", validation.MODEL_VERSIONS_MAX_RESULTS),
    ):
        assert f"{word} {limit:,}" in text
    assert validation.TAGS_MAX_BYTES == 2**20
    assert protocol.MAX_URL_BYTES == 2**20
    assert (LONG_BODY_BYTES, SHORT_BODY_BYTES) == (8 * 2**20, 2 * 2**20)
    assert Settings().max_body_bytes == LONG_BODY_BYTES
    assert paging.PAGE_MAX_BYTES == 8 * 2**20
    assert results.SEARCH_SECONDS == 30
    assert validation.DESCRIPTION_MAX_LENGTH == validation.TAG_VALUE_MAX_LENGTH


def test_every_deviation_around_the_calls_names_a_test_that_exists():
    """A row that nothing pins is a rumour."""
    table = DEVIATIONS.partition("## Around the calls")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        found = re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row)
        assert found, row
        path, name = found.groups()
        assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), re.MULTILINE), row
