"""Whether a bucket can hold a registry: tried once per prefix, and remembered in its marker.

Strategy. All that the store promises rests on conditional writes, and a service that ignores the
conditions accepts every write and loses some. So a prefix without a marker is tried with an object
of its own before anything else happens there, and the marker says what was found. A marker may have
been written through another door, though: a process asks again, with two writes of the marker's own
bytes that must fail, before it writes for the first time itself.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress

import attrs

from registry_core.errors import (
    NotPermittedError,
    SchemaOutOfDateError,
    StoreCorruptedError,
    UnsupportedBackendError,
)
from registry_core.store import Clock
from registry_core.stores.s3.codec import CONTENT_TYPE, FORMAT_VERSION
from registry_core.stores.s3.layout import Layout
from registry_core.stores.s3.objects import (
    ABSENT,
    Fetched,
    LostRaceError,
    MissingObjectError,
    Objects,
)
from registry_core.stores.s3.record import new_operation
from registry_core.stores.s3.retry import RetryBudget, TransientError

STALE_ETAG = '"00000000000000000000000000000000"'
"""An ETag that no object has: no content with this MD5 digest is known."""


PROBE_ATTEMPTS = 4
"""Trials of a bucket that refuses what it should accept, before that is believed."""


@attrs.frozen(kw_only=True)
class Marker:
    """What the marker object says."""

    format_version: int
    conditional_deletes: bool
    """Whether an object can be removed on the condition that it is unchanged."""


class Capabilities:
    """Lets the store read and write once the bucket is known to keep its promises."""

    def __init__(self, objects: Objects, layout: Layout, clock: Clock) -> None:
        self._objects = objects
        self._layout = layout
        self._clock = clock
        self._lock = threading.Lock()
        self._marker: Marker | None = None
        self._marker_etag: str | None = None
        self._may_write = False

    def ready_to_read(self) -> None:
        """Return once the prefix is known to be a registry of this format, or to be empty.

        Raises:
            UnsupportedBackendError: the service ignores or lacks conditional writes.
            SchemaOutOfDateError: the prefix has a format that only a newer release reads.
        """
        if self._marker is None:
            with self._lock:
                if self._marker is None:
                    self._marker = self._open()

    def ready_to_write(self) -> None:
        """As `ready_to_read`, and conditions have been tried by this very process."""
        self.ready_to_read()
        if not self._may_write:
            with self._lock:
                if not self._may_write:
                    self._verify()

    def is_marked(self) -> bool:
        """Return whether the prefix has a marker. Writes nothing.

        Raises:
            StoreCorruptedError: what is in its place is none.
            SchemaOutOfDateError: it is a newer release's.
        """
        try:
            _parse(self._layout.marker, self._read())
        except MissingObjectError:
            return False
        return True

    def deletes_on_condition(self) -> bool:
        """Return whether an object can be removed on the condition that it is unchanged.

        Tries it.
        """
        return self._probe().conditional_deletes

    def ping(self) -> None:
        """Return when the service answers.

        From the second time on it says only that the marker is unchanged: a service that spreads
        the bytes of objects over servers answers this also while one of those hangs, and a
        load balancer that asks has no reason to take away a process that answers reads.
        """
        try:
            fetched = self._objects.get(self._layout.marker, unless=self._marker_etag)
        except MissingObjectError:
            return
        if fetched is not None:
            self._marker_etag = fetched.etag

    def _open(self) -> Marker:
        try:
            return self._marked()
        except NotPermittedError:
            # A user who may only read sees an empty registry; the service refuses a write.
            return Marker(format_version=FORMAT_VERSION, conditional_deletes=False)

    def _marked(self) -> Marker:
        """The marker's content, written if there is no marker yet."""
        for _ in range(PROBE_ATTEMPTS):
            with suppress(MissingObjectError):
                return _parse(self._layout.marker, self._read())
            marker = self._probe()
            if not self._refuses(self._layout.marker, _render(marker, self._clock()), ABSENT):
                self._may_write = True
                return marker
        raise _unsupported("it refused 'If-None-Match: *' where no object is")

    def _read(self) -> bytes:
        fetched = self._objects.get(self._layout.marker)
        assert isinstance(fetched, Fetched), "an unconditional read gives the object"
        return fetched.body

    def _verify(self) -> None:
        while not self._may_write:
            try:
                body = self._read()
            except MissingObjectError:
                self._marked()
                continue
            self._try_refusals(self._layout.marker, body)
            self._may_write = True

    def _try_refusals(self, key: str, body: bytes) -> None:
        """Two writes over an object, with conditions that do not hold."""
        if not self._refuses(key, body, ABSENT):
            raise _unsupported("it replaced an object in spite of 'If-None-Match: *'")
        if not self._refuses(key, body, STALE_ETAG):
            raise _unsupported("it replaced an object in spite of 'If-Match' with another ETag")

    def _probe(self) -> Marker:
        """What the bucket can do, found out with an object of its own.

        A reply that gets lost makes a condition seem to fail that held: that is tried again.
        """
        refused = ""
        for _ in range(PROBE_ATTEMPTS):
            key = f"{self._layout.probes}{new_operation(self._clock)}"
            try:
                refused = self._try_writes(key)
                if not refused:
                    deletes = self._try_delete(key)
                    return Marker(format_version=FORMAT_VERSION, conditional_deletes=deletes)
            finally:
                self._objects.delete(key)
        raise _unsupported(refused)

    def _try_writes(self, key: str) -> str:
        """What was refused and should not have been, or nothing."""
        if self._refuses(key, b"1", ABSENT):
            return "it refused 'If-None-Match: *' where no object is"
        self._try_refusals(key, b"2")
        fetched = self._objects.get(key)
        assert fetched is not None, "an unconditional read gives the object"
        if self._refuses(key, b"3", fetched.etag):
            return "it refused 'If-Match' with the ETag of the object"
        return ""

    def _try_delete(self, key: str) -> bool:
        try:
            self._objects.delete(key, condition=STALE_ETAG)
        except LostRaceError:
            return True
        except UnsupportedBackendError:
            return False
        return False

    def _refuses(self, key: str, body: bytes, condition: str) -> bool:
        budget = RetryBudget.from_now()
        while True:
            try:
                self._objects.put(key, body, condition=condition, content_type=CONTENT_TYPE)
            except LostRaceError:
                return True
            except TransientError as error:
                budget.after(error)
            except UnsupportedBackendError as error:
                raise _unsupported("it does not implement them") from error
            else:
                return False


def _unsupported(reason: str) -> UnsupportedBackendError:
    return UnsupportedBackendError(
        "This S3 service does not support conditional writes (If-Match and If-None-Match of "
        f"PutObject): {reason}. Without them concurrent writers would overwrite each other, so "
        "that no registry can be kept in this bucket"
    )


def _render(marker: Marker, now: int) -> bytes:
    plain = {
        "format_version": marker.format_version,
        "kind": "registry",
        "conditional_writes": True,
        "conditional_deletes": marker.conditional_deletes,
        "creation_timestamp": now,
    }
    return f"{json.dumps(plain, indent=0)}\n".encode()


def _parse(key: str, body: bytes) -> Marker:
    try:
        plain = json.loads(body)
    except ValueError:
        plain = None
    match plain:
        case {"format_version": int(version)} if version > FORMAT_VERSION:
            raise SchemaOutOfDateError(
                f"The registry marked by '{key}' has format_version {version}; this release reads "
                f"up to {FORMAT_VERSION}. Use a newer release"
            )
        case {
            "kind": "registry",
            "format_version": int(version),
            "conditional_deletes": bool(deletes),
        }:
            return Marker(format_version=version, conditional_deletes=deletes)
    raise StoreCorruptedError(f"The object '{key}' is not the marker of a registry")
