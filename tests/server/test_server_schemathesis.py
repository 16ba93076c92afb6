"""The OpenAPI document against the running server: requests made from it, answers held to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from registry_core.wire.prefixes import API, OWN_API
from registry_core.wire.snapshots import SNAPSHOTS_PATH
from registry_core.wire.uploads import UPLOADS_PATH
from registry_server.artifacts import PREFIXES
from registry_server.http.own import ALL_OPERATIONS
from services.artifacts import artifact_url
from services.examples import examples
from services.registry_server import RegistryServer

if TYPE_CHECKING:
    from schemathesis import BaseSchema

EXAMPLES = examples(20, gate=2)
"""Requests made for each operation; each costs a round trip to a real process."""

POSITIVE, NEGATIVE = "positive", "negative"
"""Requests that the document allows, and such that it forbids."""


OPERATIONS = [(operation.method, operation.documented_path) for operation in ALL_OPERATIONS] + [
    *(
        (method, f"{prefix}/webhooks{rest}")
        for prefix in (API, OWN_API)
        for method, rest in (
            ("POST", ""),
            ("GET", ""),
            ("GET", "/{webhook_id}"),
            ("PATCH", "/{webhook_id}"),
            ("DELETE", "/{webhook_id}"),
            ("POST", "/{webhook_id}/test"),
        )
    ),
    ("GET", f"{OWN_API}/webhooks/{{webhook_id}}/deliveries"),
    ("POST", f"{OWN_API}/webhooks/{{webhook_id}}/redeliver"),
    ("GET", f"{PREFIXES[0]}/artifacts"),
    ("GET", f"{PREFIXES[0]}/artifacts/{{path}}"),
    ("PUT", f"{PREFIXES[0]}/artifacts/{{path}}"),
    ("DELETE", f"{PREFIXES[0]}/artifacts/{{path}}"),
    ("GET", f"{PREFIXES[0]}/presigned/{{path}}"),
    ("POST", f"{PREFIXES[0]}/mpu/create/{{path}}"),
    ("POST", f"{PREFIXES[0]}/mpu/complete/{{path}}"),
    ("POST", f"{PREFIXES[0]}/mpu/abort/{{path}}"),
]

ONLY_A_PATH = {
    *(
        (method, f"{OWN_API}/models/{{name}}{rest}")
        for method, rest in (
            ("GET", "/approvals"),
            ("GET", "/versions/{version}/approvals"),
            ("DELETE", "/versions/{version}/approvals"),
            ("GET", "/versions/{version}/files"),
        )
    ),
    *(
        (method, f"{prefix}/webhooks/{{webhook_id}}")
        for prefix in (API, OWN_API)
        for method in ("GET", "DELETE")
    ),
    ("GET", f"{OWN_API}/webhooks/{{webhook_id}}/deliveries"),
    *((method, f"{PREFIXES[0]}/artifacts/{{path}}") for method in ("PUT", "DELETE")),
    ("GET", f"{PREFIXES[0]}/presigned/{{path}}"),
}
"""What is asked for by a path alone, in which any text may stand: next to nothing is forbidden, and
the generator takes seconds to find that out."""

CASES = [
    pytest.param(
        method,
        path,
        mode,
        marks=pytest.mark.long if mode == NEGATIVE and (method, path) in ONLY_A_PATH else (),
    )
    for method, path in OPERATIONS
    for mode in (POSITIVE, NEGATIVE)
]


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest) -> Iterator[BaseSchema]:
    """The document that a server of its own gives out, with that server.

    Its artifacts are in a bucket and move directly, so that it answers on all artifact routes.
    """
    # Not at the top: it takes a second, and every process of the tests reads this file.
    import schemathesis

    arguments = ("--artifacts", artifact_url("s3", request), "--direct-transfers", "on")
    with RegistryServer("memory:", arguments=arguments) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_document_has_the_operations_that_are_tried(api):
    """None is forgotten here."""
    described = {(found.ok().method.upper(), found.ok().path) for found in api.get_all_operations()}
    # What takes the lines of an export has no JSON to generate; test_snapshot_pieces damages them.
    # No bucket takes uploads without a place; test_artifact_early sends them to a directory.
    uploads = f"{UPLOADS_PATH}/{{folder}}/{{upload_id}}"
    elsewhere = {("POST", SNAPSHOTS_PATH), ("HEAD", uploads), ("PUT", uploads)}
    assert described - elsewhere == set(OPERATIONS)
    assert set(OPERATIONS) >= ONLY_A_PATH
    for method, path in ONLY_A_PATH:
        operation = api[path][method]
        assert operation.path_parameters
        assert not [*operation.query, *operation.headers, *operation.cookies]
        assert all(body.definition == {"schema": {}} for body in operation.body)


@pytest.mark.hypothesis
@pytest.mark.parametrize(("method", "path", "mode"), CASES)
def test_server_does_what_its_document_says(api, method, path, mode):
    """Statuses, content types and shapes of answers; requests that it forbids are refused."""
    from schemathesis import GenerationMode, checks
    from schemathesis.specs.openapi import checks as of_openapi

    operation = api[path][method]
    held_to = [
        checks.not_a_server_error,
        of_openapi.status_code_conformance,
        of_openapi.content_type_conformance,
        of_openapi.response_schema_conformance,
        of_openapi.negative_data_rejection,
        of_openapi.unsupported_method,
        of_openapi.use_after_free,
    ]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def check(case):
        case.call_and_validate(checks=held_to)

    try:
        check()
    except Unsatisfiable:
        # Nothing can be wrong with a request that has no parameters.
        assert mode == NEGATIVE
