"""The files of versions behind our own server: the routes by which a client pushes and pulls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from registry_core import wire
from registry_core.artifacts import Manifest, Reading, file_path, parse_manifest
from registry_core.artifacts.open_files import Piece
from registry_core.artifacts.versions.early import ReceivedFile, Source
from registry_core.artifacts.versions.uploads import Begun
from registry_core.authors import Author
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import ModelVersion, NewModelVersion
from registry_core.stores.rest.answers import version_of
from registry_core.stores.rest.early_transfers import EarlyTransfers
from registry_core.stores.rest.transfers import Transfers
from registry_core.stores.rest.webhooks import RestWebhooks
from registry_core.wire import uploads
from registry_core.wire.prefixes import own_path


class RestFiles(RestWebhooks):
    """The part of a `RestStore` that moves files; see `ServesFiles`."""

    def begin_push(
        self,
        draft: NewModelVersion,
        manifest: Manifest,
        *,
        create: bool,
        if_changed: bool,
        by: Author,
    ) -> Begun:
        """See `ServesFiles`."""
        asked = uploads.BeginPush(
            name=draft.name,
            manifest=manifest.to_json().decode(),
            run_id=draft.run_id or None,
            run_link=draft.run_link or None,
            description=draft.description or None,
            tags=draft.tags,
            model_id=draft.model_id,
            create=create,
            if_changed=if_changed,
        )
        path = own_path(draft.name, "pushes")
        fields = wire.encode_request(asked)
        return self._http.write("POST", path, fields, _begun, name=draft.name, reason=by.reason)

    def finish_push(self, version: ModelVersion, *, by: Author) -> ModelVersion:
        """See `ServesFiles`."""
        return self._finish(version, None, by)

    def give_up_push(self, version: ModelVersion, message: str, *, by: Author) -> ModelVersion:
        """See `ServesFiles`."""
        return self._finish(version, message, by)

    def _finish(self, version: ModelVersion, message: str | None, by: Author) -> ModelVersion:
        asked = uploads.FinishPush(
            name=version.name, version=str(version.version), failed_because=message
        )
        path = own_path(version.name, "versions", asked.version, "finish")
        fields = wire.encode_request(asked)
        return self._http.write(
            "POST", path, fields, version_of, name=version.name, reason=by.reason
        )

    def begin_adoption(self, version: ModelVersion, manifest: Manifest, *, by: Author) -> Begun:
        """See `ServesFiles`."""
        asked = uploads.BeginAdoption(
            name=version.name,
            version=str(version.version),
            manifest=manifest.to_json().decode(),
        )
        path = own_path(version.name, "versions", asked.version, "adoptions")
        fields = wire.encode_request(asked)
        return self._http.write("POST", path, fields, _begun, name=version.name, reason=by.reason)

    def finish_adoption(
        self, version: ModelVersion, manifest: Manifest, *, by: Author
    ) -> ModelVersion:
        """See `ServesFiles`."""
        asked = uploads.FinishAdoption(
            name=version.name,
            version=str(version.version),
            manifest=manifest.to_json().decode(),
            files_were_at=version.download_uri,
        )
        path = own_path(version.name, "versions", asked.version, "adopt")
        fields = wire.encode_request(asked)
        return self._http.write(
            "POST", path, fields, version_of, name=version.name, reason=by.reason
        )

    def version_files(self, name: str, version: int) -> tuple[ModelVersion, str, Manifest]:
        """See `ServesFiles`."""
        return self._http.read(
            own_path(name, "versions", str(version), "files"), {}, _files, name=name
        )

    def write_file(
        self,
        path: str,
        pieces: Callable[[int], Iterable[Piece]],
        *,
        size: int,
        sha256: str,
        retreat: Callable[[], object],
    ) -> None:
        """See `ServesFiles`."""
        Transfers(self._http).put(path, pieces, size=size, sha256=sha256, retreat=retreat)

    def send_upload(self, upload: str, source: Source, *, begins: bool) -> ReceivedFile | None:
        """See `ServesFiles`."""
        return EarlyTransfers(self._http).send(upload, source, begins=begins)

    def publish_upload(self, upload_id: str, path: str, *, sha256: str) -> None:
        """See `ServesFiles`."""
        EarlyTransfers(self._http).publish(upload_id, path, sha256=sha256)

    def read(self, path: str, *, start: int = 0, stop: int | None = None) -> Reading:
        """See `ServesFiles`."""
        return Transfers(self._http).read(path, start=start, stop=stop)


def _begun(answer: wire.Json) -> Begun:
    match answer:
        case {"path": str(path), "missing": list(missing)} if all(
            isinstance(each, str) for each in missing
        ):
            return Begun(version=version_of(answer), path=_path(path), missing=missing)
    raise StoreCorruptedError("The answer is not a push that has begun.")


def _files(answer: wire.Json) -> tuple[ModelVersion, str, Manifest]:
    match answer:
        case {"path": str(path), "manifest": str(manifest)}:
            # What cannot be in UTF-8 is in no manifest.
            raw = manifest.encode(errors="replace")
            return version_of(answer), _path(path), parse_manifest(raw)
    raise StoreCorruptedError("The answer has no manifest.")


def _path(text: str) -> str:
    """Accept where files are: below the artifact root, as everything else is refused there."""
    try:
        return file_path(text)
    except InvalidArgumentError as error:
        raise StoreCorruptedError("The answer has no path of files.") from error
