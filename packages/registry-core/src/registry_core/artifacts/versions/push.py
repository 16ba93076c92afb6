"""How files come: a version made of a directory, or of what lies below the root already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from registry_core.artifacts import (
    FileInfo,
    Manifest,
    ManifestFile,
    ResumingArtifactStore,
    artifact_path,
    is_resumable,
    make_manifest,
)
from registry_core.artifacts.trees import FileTree, Known, Progress, Tree, open_tree
from registry_core.artifacts.versions import unverified
from registry_core.artifacts.versions.context import Context, subject
from registry_core.artifacts.versions.layout import contents, folder_of, own_path, stored_path
from registry_core.artifacts.versions.pull import digest_of
from registry_core.artifacts.versions.transfer import Meter, in_parallel
from registry_core.artifacts.versions.unverified import Announcement
from registry_core.changes import CreateModel, CreateVersion, FinalizeVersion, SetVersionTag
from registry_core.errors import (
    AlreadyExistsError,
    ArtifactImmutableError,
    ArtifactNotFoundError,
    ConflictError,
    ContentionError,
    InvalidArgumentError,
    NotFoundError,
    PushInterrupted,
    RegistryError,
    StoreBusyError,
    StoreUnavailableError,
)
from registry_core.idempotency import Idempotency
from registry_core.inloop import in_thread
from registry_core.models import (
    DIGEST_TAG,
    ModelVersion,
    NewModelVersion,
    NewRegisteredModel,
    Status,
)
from registry_core.search import AttributeRef, Comparison, Op, TagRef

MESSAGE_MAX_LENGTH = 500
"""Characters of the message that a failed version keeps."""

_PUSH_ATTEMPTS = 3
"""How often a push makes a version when another process gave up the one it was making."""


_logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class PushOptions:
    """How a directory is pushed."""

    within: Path | None = None
    """The directory that the source has to lie in; no link leads out of it then."""
    follow_links: bool = True
    """Whether links in the source are the files that they lead to; not `within` a directory."""
    create: bool = False
    """Whether a missing registered model is made, once nothing else stands in the way."""
    if_changed: bool = False
    """Whether the newest version is enough if it has the same files."""
    progress: Progress | None = None


class _GivenUpError(ConflictError):
    """Another process ended the pending version."""


def push(
    context: Context, draft: NewModelVersion, source: Path, options: PushOptions
) -> ModelVersion:
    """See `ModelArtifacts.push`."""
    with opened(source, options) as tree:
        folder = folder_of(draft.name, tree.manifest)
        draft = reserving(draft, f"{context.artifacts.root}/{folder}", tree.manifest)
        if options.if_changed and (newest := unchanged(context, draft)) is not None:
            return newest
        if options.create:
            # A root that cannot be reached is found out before there is a model.
            context.artifacts.list(folder)
            create_model(context, draft.name)
        for _ in range(_PUSH_ATTEMPTS):
            version = reserve(context, draft)
            with suppress(_GivenUpError):
                return _ending(
                    context, version, lambda: deliver(context, folder, tree, options.progress)
                )
    raise ConflictError(f"others keep ending what this push of '{draft.name}' begins")


@contextmanager
def opened(source: Path, options: PushOptions, *, known: Known = lambda _: {}) -> Iterator[Tree]:
    """Open the files to push; links that lead out of their directory are counted in the log.

    `known` is as for `open_tree`.
    """
    follow_links = options.follow_links
    with open_tree(source, within=options.within, follow_links=follow_links, known=known) as tree:
        if tree.links_out:
            _logger.warning(
                "%d links in '%s' lead out of it; the files that they lead to are pushed",
                tree.links_out,
                source,
            )
        yield tree


def reserving(draft: NewModelVersion, source: str, manifest: Manifest) -> NewModelVersion:
    """Return the draft of a pending version that is to have these files at its source."""
    return attrs.evolve(
        draft,
        source=source,
        tags={**draft.tags, DIGEST_TAG: manifest.digest},
        status=Status.PENDING_REGISTRATION,
    )


def reserve(context: Context, draft: NewModelVersion) -> ModelVersion:
    """Return the pending version of a draft: one that an interrupted push left, or a new one."""
    return _interrupted(context, draft) or context.writer.apply(CreateVersion(draft))


def unchanged(context: Context, draft: NewModelVersion) -> ModelVersion | None:
    """Return the newest READY version of a draft's model if it has the draft's files."""
    name = Comparison(AttributeRef("name"), Op.EQ, draft.name)
    for version in context.versions(name):
        if version.status is Status.READY:
            has_them = version.tags.get(DIGEST_TAG) == draft.tags[DIGEST_TAG]
            return version if has_them else None
    return None


def create_model(context: Context, name: str) -> None:
    """Make a registered model if it does not exist."""
    with suppress(AlreadyExistsError):
        context.writer.apply(CreateModel(NewRegisteredModel(name=name)))


def register(
    context: Context,
    draft: NewModelVersion,
    *,
    origin: ModelVersion | None = None,
    idempotency: Idempotency | None = None,
) -> ModelVersion:
    """See `ModelArtifacts.register`."""
    path = own_path(context.artifacts.root, draft.storage_location or draft.source)
    if path is None:
        return context.writer.apply(CreateVersion(draft, idempotency=idempotency))
    return in_thread(lambda: _register_kept(context, draft, path, origin, idempotency))


def _register_kept(
    context: Context,
    draft: NewModelVersion,
    path: str,
    origin: ModelVersion | None,
    idempotency: Idempotency | None,
) -> ModelVersion:
    if path == "":
        raise InvalidArgumentError("The artifact root itself cannot be a model version.")
    there = contents(context.artifacts, path)
    if there:
        # What cannot be sealed is found out before there is a version.
        artifact_path(path)
        make_manifest(ManifestFile(path=name, size=0, sha256="") for name in there)
    elif origin is None:
        _check_nothing(context, draft)
        return context.writer.apply(CreateVersion(draft, idempotency=idempotency))
    draft = attrs.evolve(draft, status=Status.PENDING_REGISTRATION)
    if origin is not None and (digest := origin.tags.get(DIGEST_TAG)) is not None:
        draft = attrs.evolve(draft, tags={DIGEST_TAG: digest, **draft.tags})
    version = context.writer.apply(CreateVersion(draft, idempotency=idempotency))
    if version.status is not Status.PENDING_REGISTRATION or version.source != draft.source:
        return version  # made before under the key, and maybe as a copy of something else
    return _ending(context, version, lambda: _adopt(context, path, version, set(there), origin))


def _check_nothing(context: Context, draft: NewModelVersion) -> None:
    # Only a proxy's server knows whether there is something at its URL.
    if stored_path(context.artifacts.root, draft.source) is not None:
        raise InvalidArgumentError(
            f"Invalid model version source: '{draft.source}'. There are no files there; upload "
            "them first."
        )


def seal_present(context: Context, path: str) -> Manifest | None:
    """Return the seals the files at a path as they are; None if there are none.

    Reads all their bytes, for the digests, unless they are sealed already.
    """
    manifest = context.seals.sealed(path)
    if manifest is None:
        if not contents(context.artifacts, path):
            return None
        context.seals.close(path, digest=None)
        context.writers.wait(path)
        manifest = present(context, path)
        if manifest is None:
            return None
        context.seals.seal(path, manifest)
    unverified.check(context, path, manifest)
    return manifest


def present(context: Context, path: str) -> Manifest | None:
    """Return the manifest of what is at a path, from its bytes; None if there is no file."""
    files = contents(context.artifacts, path)
    digests = in_parallel(lambda info: digest_of(context.artifacts, info.path), files.values())
    entries = [
        ManifestFile(path=name, size=size, sha256=sha256)
        for name, (sha256, size) in zip(files, digests, strict=True)
    ]
    return make_manifest(entries) if entries else None


# The version


def _interrupted(context: Context, draft: NewModelVersion) -> ModelVersion | None:
    """The pending version that an earlier, identical push left."""
    name = Comparison(AttributeRef("name"), Op.EQ, draft.name)
    digest = Comparison(TagRef(DIGEST_TAG), Op.EQ, draft.tags[DIGEST_TAG])
    for version in context.versions(name, digest):
        if version.status is Status.PENDING_REGISTRATION and _is_of(draft, version):
            return version
    return None


def _is_of(draft: NewModelVersion, version: ModelVersion) -> bool:
    # They are set while it is pending, whatever the draft says.
    beside = ("status", "storage_location")
    fields = (field.name for field in attrs.fields(NewModelVersion) if field.name not in beside)
    return all(getattr(draft, field) == getattr(version, field) for field in fields)


def _ending(context: Context, version: ModelVersion, deliver: Callable[[], object]) -> ModelVersion:
    """The version, READY after its files were delivered, or FAILED and the error raised."""
    try:
        with failing(context, version):
            deliver()
        return finish(context, version)
    except KeyboardInterrupt as interrupt:
        raise PushInterrupted(version.name, version.version) from interrupt
    except (ContentionError, StoreBusyError) as error:
        # They say that nothing was written, and there is a version by now.
        raise StoreUnavailableError(f"{subject(version)} was not finished: {error}") from error


def finish(context: Context, version: ModelVersion) -> ModelVersion:
    """Return a version whose files are sealed, READY."""
    stored = context.store.get_model_version(version.name, version.version)
    if stored.creation_timestamp != version.creation_timestamp or stored.source != version.source:
        # The model was deleted, and another one made under its name.
        raise ConflictError(f"{subject(version)} was deleted while its files were uploaded")
    try:
        return context.writer.apply(
            FinalizeVersion(name=version.name, version=version.version, status=Status.READY)
        )
    except ContentionError:
        raise
    except ConflictError:
        # A repair, or another run of the same push, came first.
        stored = context.store.get_model_version(version.name, version.version)
        if stored.status is Status.READY:
            return stored
        raise _GivenUpError from None


@contextmanager
def failing(context: Context, version: ModelVersion) -> Iterator[None]:
    """Have an error of the block end the version as FAILED_REGISTRATION, and raise it."""
    try:
        yield
    except (RegistryError, OSError) as error:
        with suppress(RegistryError):
            fail(context, version, str(error))
        raise


def fail(context: Context, version: ModelVersion, message: str) -> ModelVersion:
    """Return a pending version as FAILED_REGISTRATION, with what was wrong."""
    return context.writer.apply(
        FinalizeVersion(
            name=version.name,
            version=version.version,
            status=Status.FAILED_REGISTRATION,
            status_message=f"upload failed: {message}"[:MESSAGE_MAX_LENGTH],
        )
    )


# The files


def deliver(
    context: Context, folder: str, tree: FileTree, progress: Progress | None = None
) -> None:
    """Bring files into a folder, and seal it."""
    close(context, folder, tree.manifest)
    _upload(context, folder, tree, Meter(tree.manifest.size, progress))
    check_complete(context, folder, tree.manifest)
    context.seals.seal(folder, tree.manifest)
    unverified.check(context, folder, tree.manifest)


def close(context: Context, folder: str, manifest: Manifest) -> None:
    """Have nothing but a push of these files change a folder from now on."""
    context.collectors.wait(folder)
    if (sealed_ancestor := context.seals.sealed_ancestor(folder)) is not None:
        raise ArtifactImmutableError(sealed_ancestor)
    context.seals.close(folder, digest=manifest.digest)
    context.writers.wait(folder)


def _upload(context: Context, folder: str, tree: FileTree, meter: Meter) -> None:
    there = contents(context.artifacts, folder)
    wrong = unverified.wrong_files(context, folder, tree.manifest, there)

    def send(file: ManifestFile) -> None:
        if file.path not in wrong and is_there(context, folder, file, there):
            meter.add(file.size)
            return
        write_file(context, folder, tree, file, meter)

    names = {file.path for file in tree.manifest.files}
    context.artifacts.remove(info.path for name, info in there.items() if name not in names)
    in_parallel(send, tree.manifest.files, meter=meter)


def write_file(
    context: Context, folder: str, tree: FileTree, file: ManifestFile, meter: Meter
) -> None:
    """Write a file of a tree; a large one goes on where an interrupted write has left it."""
    store, path = context.artifacts, f"{folder}/{file.path}"
    if is_resumable(file.size) and isinstance(store, ResumingArtifactStore):
        # Where another push of the same bytes is at it, or is over: they wait for nobody.
        with suppress(ConflictError):
            _continue_file(context, store, path, tree, file, meter=meter)
            return
    store.write(path, meter.count(tree.read(file)), sha256=file.sha256)


def _continue_file(
    context: Context,
    store: ResumingArtifactStore,
    path: str,
    tree: FileTree,
    file: ManifestFile,
    *,
    meter: Meter,
) -> None:
    start, announced = store.kept_bytes(path, sha256=file.sha256), Announcement(context, path)
    writer = store.resuming_writer(path, sha256=file.sha256, start=start, announce=announced.write)
    try:
        for piece in after(start, meter.count(tree.read(file))):
            writer.write(piece)
        try:
            writer.commit()
        except ConflictError:
            meter.add(-file.size)  # All of it will be sent again.
            raise
    except InvalidArgumentError:
        writer.abort()  # What was kept is of other bytes.
        raise
    except BaseException:
        writer.suspend()
        raise
    announced.withdraw()


def after(start: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what follows the first `start` bytes of a file; all of it is read, for its digest."""
    skipped = 0
    for piece in pieces:
        rest = piece[max(0, start - skipped) :]
        skipped += len(piece)
        if rest:
            yield rest


def is_there(
    context: Context, folder: str, file: ManifestFile, there: Mapping[str, FileInfo]
) -> bool:
    """Return whether a file is in a folder, by its size and the digest of its bytes."""
    path = f"{folder}/{file.path}"
    if file.path in there and there[file.path].size == file.size:
        with suppress(ArtifactNotFoundError):
            recorded = context.artifacts.stat(path).sha256
            return (recorded or digest_of(context.artifacts, path)[0]) == file.sha256
    return False


def check_complete(context: Context, folder: str, manifest: Manifest) -> None:
    """Return if exactly the files of a manifest are in a folder, by names and sizes."""
    sizes = {name: info.size for name, info in contents(context.artifacts, folder).items()}
    if sizes != {file.path: file.size for file in manifest.files}:
        raise ConflictError(f"somebody else changed the files at '{folder}' during the upload")


def _adopt(
    context: Context,
    path: str,
    version: ModelVersion,
    there: AbstractSet[str],
    origin: ModelVersion | None,
) -> None:
    context.collectors.wait(path)
    if not there <= contents(context.artifacts, path).keys():
        raise ConflictError(f"files at '{path}' were removed while they were registered")
    manifest = seal_present(context, path)
    if manifest is None:
        if origin is not None:
            _check_exists(context, origin)
        return
    # A copy is found by the tag when its origin is gone; one of another version's is wrong.
    if version.tags.get(DIGEST_TAG, None if origin else manifest.digest) != manifest.digest:
        context.writer.apply(
            SetVersionTag(
                name=version.name,
                version=version.version,
                key=DIGEST_TAG,
                value=manifest.digest,
            )
        )


def _check_exists(context: Context, origin: ModelVersion) -> None:
    try:
        context.store.get_model_version(origin.name, origin.version)
    except NotFoundError:
        raise ConflictError(
            f"{subject(origin)} was deleted, and its files collected, while it was copied"
        ) from None
