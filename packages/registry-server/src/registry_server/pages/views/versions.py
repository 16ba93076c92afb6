"""The page of a model version."""

from __future__ import annotations

from registry_core import (
    InvalidArgumentError,
    ModelVersion,
    Registry,
    RegistryError,
    Stage,
    histories,
)
from registry_core.artifacts import Manifest
from registry_core.validation import PROMPT_TEXT_TAG
from registry_core.wire import payloads
from registry_server.artifacts.service import ARTIFACTS
from registry_server.pages import links
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import approvals, finding, timeline

FILES_SHOWN = 200
"""Files of a version that are listed; how many more there are is said."""


def show(request: PageRequest, registry: Registry, name: str, number: str, *_: str) -> View:
    """A version: what it is, where its files are, what became of it."""
    version = registry.get_model_version(name, number)
    query = histories.query(name, version=version.version, max_results=timeline.PAGE_SIZE)
    events = tuple(histories.page(registry.store, query, None).items)
    manifest, files_problem = manifest_of(registry, version)
    context = {
        "version": version,
        "events": events,
        "manifest": manifest,
        "files_problem": files_problem,
        "files_shown": FILES_SHOWN,
        "files_at": _address_of_files(registry, version) if manifest else None,
        "prompt_text": version.tags.get(PROMPT_TEXT_TAG),
        "stages": tuple(stage.value for stage in Stage),
        "by_tag": finding.by_tag,
        "review": approvals.review_of(request, registry, version),
    }
    return View(
        template="version.html", context=context, data=lambda: payloads.model_version(version)
    )


def manifest_of(registry: Registry, version: ModelVersion) -> tuple[Manifest | None, str | None]:
    """What the files of a version are, and why that is not known although they are ours."""
    if registry.artifacts is None or PROMPT_TEXT_TAG in version.tags:
        return None, None
    try:
        return registry.files.manifest_of(version), None
    except InvalidArgumentError:
        # The files are kept elsewhere.
        return None, None
    except RegistryError as error:
        return None, str(error)


def _address_of_files(registry: Registry, version: ModelVersion) -> str | None:
    """Where this server serves the files, below its root."""
    path = registry.files.stored_path(version.download_uri)
    if path is None:
        return None
    return f"{ARTIFACTS[1:]}/{links.path(*path.split('/'))}"
