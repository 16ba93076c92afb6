"""What only MLflow's clients before 2.0 ask for, under the prefix that was theirs.

What they share with later ones is in the table of operations, which answers to that prefix, too.
"""

from __future__ import annotations

from typing import Any

from registry_core import Page, RegisteredModel
from registry_core.wire import requests
from registry_server.http import response_shapes
from registry_server.http.operations import PREVIEW_API, Operation, RequestContext, Work


def _list_registered_models(
    context: RequestContext, request: requests.ListRegisteredModels
) -> Page[RegisteredModel]:
    return context.registry.search_registered_models(
        max_results=request.max_results, page_token=request.page_token
    )


PREVIEW_OPERATIONS: tuple[Operation[Any, Any], ...] = (
    Operation(
        id="listRegisteredModels",
        method="GET",
        path="/registered-models/list",
        request=requests.ListRegisteredModels,
        call=_list_registered_models,
        answer=response_shapes.REGISTERED_MODELS,
        summary="List registered models by name, as MLflow's clients before 2.0 do.",
        prefix=PREVIEW_API,
        work=Work.SEARCHING,
    ),
)
"""The operation that MLflow 2.0 replaced by a search."""
