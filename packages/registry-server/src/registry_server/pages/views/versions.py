"""The page of a model version."""

from __future__ import annotations

from registry_core import ModelVersionNotFoundError, Registry, Stage, histories
from registry_core.permissions import STAGE_PREFIX
from registry_core.validation import PROMPT_TEXT_TAG
from registry_core.wire import payloads
from registry_server.pages.answers import Redirect, View
from registry_server.pages.mlmodel import COLUMNS_SHOWN
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import approvals, finding, timeline, whereabouts
from registry_server.pages.views.files import address_of, card_of, files_of

FILES_SHOWN = 200
"""Files of a version that are listed; how many more there are is said."""


def show(
    request: PageRequest, registry: Registry, name: str, number: str, *_: str
) -> View | Redirect:
    """Return a version: what it is, where its files are, what became of it.

    Of a deleted one, that.
    """
    try:
        version = registry.get_model_version(name, number)
    except ModelVersionNotFoundError as error:
        if request.wants_json:
            raise
        gone = whereabouts.deleted_version(registry, name, error.version)
        if gone is None:
            raise
        return gone
    query = histories.query(name, version=version.version, max_results=timeline.PAGE_SIZE)
    events = tuple(histories.page(registry.store, query, None).items)
    files = files_of(registry, version)
    context = {
        "version": version,
        "events": events,
        "manifest": files.manifest,
        "files_problem": files.problem,
        "files_shown": FILES_SHOWN,
        "files_at": address_of(registry, version) if files.manifest else None,
        "card": card_of(registry, files),
        "columns_shown": COLUMNS_SHOWN,
        "prompt_text": version.tags.get(PROMPT_TEXT_TAG),
        "stages": tuple(stage.value for stage in Stage),
        "stage_prefix": STAGE_PREFIX,
        "by_tag": finding.by_tag,
        "review": approvals.review_of(request, registry, version),
    }
    return View(
        template="version.html", context=context, data=lambda: payloads.model_version(version)
    )
