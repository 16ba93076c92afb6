"""The files of a version: what they are, what they say, and whether they still are it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from registry_core import (
    InvalidArgumentError,
    ModelVersion,
    Registry,
    RegistryError,
)
from registry_core.artifacts import Manifest
from registry_core.artifacts.versions.pull import FileCheck
from registry_core.validation import PROMPT_TEXT_TAG
from registry_core.wire import Json
from registry_server.artifacts.service import ARTIFACTS
from registry_server.pages import links, mlmodel
from registry_server.pages.answers import View
from registry_server.pages.mlmodel import Card
from registry_server.pages.requests import PageRequest

LISTED = 1_000
"""Files that a page of a check lists by name; of further ones only those at fault."""

_STEP_BYTES = 256 * 1024 * 1024
"""Bytes of a file after which a check says that it goes on: about a second."""


@attrs.frozen(kw_only=True)
class Files:
    """The files of a version as they were registered, if they are ours."""

    folder: str = ""
    """Where they are, below the artifact root."""
    manifest: Manifest | None = None
    problem: str | None = None
    """Why they are not known although they are ours."""


def files_of(registry: Registry, version: ModelVersion) -> Files:
    """Return what the files of a version are, and why that is not known although they are ours."""
    if registry.artifacts is None or PROMPT_TEXT_TAG in version.tags:
        return Files()
    try:
        folder, manifest = registry.files.located_manifest(version)
    except InvalidArgumentError:
        # The files are kept elsewhere.
        return Files()
    except RegistryError as error:
        return Files(problem=str(error))
    return Files(folder=folder, manifest=manifest)


def address_of(registry: Registry, version: ModelVersion) -> str | None:
    """Return where this server serves the files, below its root."""
    path = registry.files.stored_path(version.download_uri)
    if path is None:
        return None
    return f"{ARTIFACTS[1:]}/{links.path(*path.split('/'))}"


def card_of(registry: Registry, files: Files) -> Card:
    """Return what the files of a version say of the model: two small ones are read."""
    card = Card()
    text, problem = _read(registry, files, mlmodel.MLMODEL, mlmodel.MLMODEL_MAX_BYTES)
    if text is not None:
        try:
            card = mlmodel.card(text)
        except mlmodel.UnreadableError as error:
            problem = f"{mlmodel.MLMODEL} cannot be read: {error}"
    problems = [*card.problems, *([problem] if problem else [])]
    text, problem = _read(registry, files, mlmodel.REQUIREMENTS, mlmodel.REQUIREMENTS_MAX_BYTES)
    return attrs.evolve(
        card,
        requirements=mlmodel.requirements(text or b""),
        problems=(*problems, *([problem] if problem else [])),
    )


def _read(
    registry: Registry, files: Files, path: str, most: int
) -> tuple[bytes | None, str | None]:
    """The bytes of a file; None where there is no such file, or with why they cannot be had."""
    listed = files.manifest.files if files.manifest else ()
    for file in listed:
        if file.path == path:
            try:
                return registry.files.read_file(files.folder, file, most=most), None
            except RegistryError as error:
                return None, str(error)
    return None, None


# The check of all bytes


@attrs.define
class Check:
    """A check of files that goes on while it is shown."""

    files: Iterator[FileCheck]
    listed: int = 0
    sound: int = 0
    bad: int = 0
    size: int = 0
    failure: str | None = None
    """Why it could not go on."""

    def lines(self) -> Iterator[FileCheck]:
        """Yield what there is to say of each file, as soon as it is known."""
        said = 0
        try:
            for step in self.files:
                if step.is_over:
                    said = 0
                    self._count(step)
                    if step.problem is not None or self.listed < LISTED:
                        self.listed += 1
                        yield step
                elif step.done - said >= _STEP_BYTES and step.done != step.size:
                    said = step.done
                    yield step
        except RegistryError as error:
            self.failure = str(error)

    def _count(self, step: FileCheck) -> None:
        self.size += step.done
        if step.problem is None:
            self.sound += 1
        else:
            self.bad += 1


def verify(request: PageRequest, registry: Registry, name: str, number: str) -> View:  # noqa: ARG001
    """Read every byte of a version, and say of each file what was found while it goes on."""
    version = registry.get_model_version(name, number)
    if registry.artifacts is None:
        raise InvalidArgumentError("This server keeps no files.")
    check = Check(registry.files.checking(version))

    def data() -> Json:
        steps = [attrs.asdict(step) for step in check.lines() if step.is_over]
        return {
            "files": [{key: step[key] for key in ("path", "size", "problem")} for step in steps],
            "verified": check.bad == 0 and check.failure is None,
            "failure": check.failure,
        }

    return View(
        template="verify.html",
        context={"name": name, "number": version.version, "check": check, "most": LISTED},
        data=data,
        is_streamed=True,
    )
