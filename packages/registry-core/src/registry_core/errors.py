"""The errors that every backend and adapter raises.

They know neither HTTP nor exit codes: `registry_core.wire.errors` and the command line each map
classes to their own vocabulary, in one table. Messages are MLflow's where MLflow has one, so that
a client sees the same sentence on every path::

    RegistryError
      NotFoundError (LookupError)
        RegisteredModelNotFoundError   ModelVersionNotFoundError   AliasNotFoundError
        NoModelVersionsError           WebhookNotFoundError        ArtifactNotFoundError
        NoVersionInStageError          ApprovalNotFoundError
      AlreadyExistsError               a registered model or prompt of that name exists
      ArtifactExistsError              a file is there and was not to be replaced
      ArtifactImmutableError           a registered version's files cannot be changed
      ArtifactMismatchError            a file is not what the version's manifest says
      InvalidArgumentError (ValueError)
        FilterSyntaxError              carries the text and the span at fault
        SearchTooSlowError             it was given up; ask for less
      NotPermittedError                the backend refused the credentials
      ConflictError                    others changed what the call is about; nothing was written
        StaleValueError                a value is not as the caller expects; carries what it is
        IdempotencyKeyReusedError      the key was used for another request; nothing was written
        ContentionError                lost a race more often than we retry; nothing was written
      GateRefusedError                 a gate does not let a version be promoted; says what lacks
      StoreUnavailableError            the database or bucket did not answer
        UnexpectedAnswerError          what answered is not, or not like, what the store asks
        StoreBusyError                 it did not take the call; nothing was written
      StoreCorruptedError              what was stored cannot be read back
      BackendError
        InvalidUrlError                a store or artifact URL that means nothing; also an
                                       InvalidArgumentError
        UnknownBackendError            no backend for this URL
        StoreNotFoundError             nothing is kept at this URL yet; also a NotFoundError
        BackendNotInstalledError       the backend's driver is missing
        SchemaOutOfDateError           the database needs `regctl db upgrade`, or a newer release
        UnsupportedBackendError        the backend cannot keep the promises of a Store
"""

from __future__ import annotations

from typing import Any


class RegistryError(Exception):
    """Any failure of a registry operation. Survives pickling, so it may cross processes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is made again from its message, which subclasses do not take.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[RegistryError], args: tuple[object, ...], attributes: dict[str, object]
) -> RegistryError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class NotFoundError(RegistryError, LookupError):
    """What was asked for does not exist."""


class RegisteredModelNotFoundError(NotFoundError):
    """There is no registered model `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Registered Model with name={name} not found")


class ModelVersionNotFoundError(NotFoundError):
    """There is no version `version` of registered model `name`."""

    def __init__(self, name: str, version: int | str) -> None:
        self.name = name
        self.version = version
        super().__init__(f"Model Version (name={name}, version={version}) not found")


class AliasNotFoundError(NotFoundError):
    """Registered model `name` has no alias `alias`."""

    def __init__(self, name: str, alias: str) -> None:
        self.name = name
        self.alias = alias
        super().__init__(f"Registered model alias {alias} not found.")


class NoModelVersionsError(NotFoundError):
    """Registered model `name` has no version, so it has no latest one."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Latest version not found for model {name}.")


class NoVersionInStageError(NotFoundError):
    """Registered model `name` has no version in stage `stage`."""

    def __init__(self, name: str, stage: str) -> None:
        self.name = name
        self.stage = stage
        super().__init__(f"No versions of model with name '{name}' and stage '{stage}' found")


class ApprovalNotFoundError(NotFoundError):
    """`actor` has given no approval to version `version` of registered model `name`."""

    def __init__(self, name: str, version: int | str, actor: str) -> None:
        self.name = name
        self.version = version
        self.actor = actor
        super().__init__(f"Version {version} of model '{name}' has no approval by '{actor}'")


class WebhookNotFoundError(NotFoundError):
    """There is no webhook `webhook_id`."""

    def __init__(self, webhook_id: str) -> None:
        self.webhook_id = webhook_id
        super().__init__(f"Webhook with ID {webhook_id} not found.")


class ArtifactNotFoundError(NotFoundError):
    """There is no artifact at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"No such artifact: '{path}'")


class AlreadyExistsError(RegistryError):
    """A registered model `name` exists.

    `existing_is_prompt` and `wanted_prompt` say whether each of the two is a prompt; the message
    differs for all four combinations (contract 2.1).
    """

    def __init__(
        self, name: str, *, existing_is_prompt: bool = False, wanted_prompt: bool = False
    ) -> None:
        self.name = name
        self.existing_is_prompt = existing_is_prompt
        self.wanted_prompt = wanted_prompt
        existing, requested = _kind(prompt=existing_is_prompt), _kind(prompt=wanted_prompt)
        if existing_is_prompt == wanted_prompt:
            message = f"{requested.title()} (name={name}) already exists."
        else:
            message = (
                f"Tried to create a {requested} with name {name!r}, but the name is already taken "
                f"by a {existing}. MLflow does not allow creating a model and a prompt with the "
                "same name."
            )
        super().__init__(message)


def _kind(*, prompt: bool) -> str:
    return "prompt" if prompt else "registered model"


class ArtifactExistsError(RegistryError):
    """There is a file at `path`, and the call was not to replace it."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"Artifact exists: '{path}'")


class ArtifactImmutableError(RegistryError):
    """`path` belongs to a registered model version, whose files cannot be changed or removed."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(
            f"The artifact '{path}' belongs to a registered model version and cannot be changed "
            "or deleted."
        )


class ArtifactMismatchError(RegistryError):
    """Files of a version are not what its manifest says; `problems` has a sentence for each."""

    def __init__(self, subject: str, problems: tuple[str, ...]) -> None:
        self.subject = subject
        self.problems = problems
        super().__init__(f"{subject} does not match its manifest: {'; '.join(problems)}")


class InvalidArgumentError(RegistryError, ValueError):
    """An argument breaks a rule; nothing was changed."""


class FilterSyntaxError(InvalidArgumentError):
    """A filter or order_by text cannot be understood.

    `source` is the whole text and `span` the half-open range of characters at fault. A traceback
    shows the text with carets under the fault, as a note; the message is MLflow's alone.
    """

    def __init__(self, message: str, *, source: str, span: tuple[int, int]) -> None:
        self.source = source
        self.span = span
        super().__init__(message)
        self.add_note(self.caret())

    def caret(self) -> str:
        """Return the line of the source at fault, and below it carets under the fault.

        Of a long line only the part around the fault.
        """
        start, end = self.span
        line_start = self.source.rfind("\n", 0, start) + 1
        line_end = self.source.find("\n", start)
        line_end = line_end if line_end >= 0 else len(self.source)
        first = max(line_start, start - _SHOWN_BEFORE)
        last = min(line_end, start + _SHOWN_AFTER)
        before, after = "…" * (first > line_start), "…" * (last < line_end)
        line = f"{before}{self.source[first:last]}{after}"
        blank = " " * (len(before) + _columns(self.source[first:start]))
        return f"{line}\n{blank}{'^' * max(1, _columns(self.source[start : min(end, last)]))}"


_SHOWN_BEFORE, _SHOWN_AFTER = 50, 100
"""Characters of a filter that an error shows before and after where the fault begins."""


def _columns(text: str) -> int:
    """The columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415 rarely needed

    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


class SearchTooSlowError(InvalidArgumentError):
    """A search was given up, because it took longer than a search may take. Ask for less."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"The search has taken more than {seconds:g} seconds and was given up. Narrow it, by "
            "an equality on a name, a run id or a tag, or ask for fewer results."
        )


class NotPermittedError(RegistryError):
    """The backend refused the caller's credentials."""


class ConflictError(RegistryError):
    """What the call is about is no longer as it must be: others have changed it.

    Nothing was written.
    """


class StaleValueError(ConflictError):
    """What was to be changed is not what the caller expects it to be; `current` is what it is.

    Nothing was written.
    """

    def __init__(self, message: str, *, current: str | int | None) -> None:
        self.current = current
        super().__init__(message)


class IdempotencyKeyReusedError(ConflictError):
    """An idempotency key was used for another request before; nothing was written."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"The idempotency key '{key}' was used for another request; give every request a key "
            "of its own"
        )


class ContentionError(ConflictError):
    """A race was lost more often than it is retried.

    Nothing was written; the call is safe to repeat.
    """


class GateRefusedError(RegistryError):
    """A gate does not let an alias or a stage point at a version; nothing was written.

    `missing` has a phrase for each thing that the version lacks.
    """

    def __init__(self, message: str, *, missing: tuple[str, ...] = ()) -> None:
        self.missing = missing
        super().__init__(message)


class StoreUnavailableError(RegistryError):
    """The backend did not answer in time. The store works again by itself once the backend does.

    It is unknown whether a change was made, unless this is a `StoreBusyError`.
    `retry_after_seconds` is how long a client should wait before it asks again.
    """

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class UnexpectedAnswerError(StoreUnavailableError):
    """The backend answered, but not with what its interface promises.

    A login page, a proxy or another service answers in its place, or its answer is damaged, too
    large or without end. Nothing of the answer was used. Whether a change was made is not known.
    """


class StoreBusyError(StoreUnavailableError):
    """The backend did not take the call: no connection could be had, or it refused for now.

    Nothing was written; the call is safe to repeat.
    """


class StoreCorruptedError(RegistryError):
    """Something stored cannot be read back: damaged, or written by a newer release."""


class BackendError(RegistryError):
    """A store cannot be opened."""


class InvalidUrlError(BackendError, InvalidArgumentError):
    """A URL of a store or of artifacts is malformed. The message repeats no secret of it."""


class UnknownBackendError(BackendError):
    """No backend answers to this store URL."""


class StoreNotFoundError(BackendError, NotFoundError):
    """Nothing is kept at this URL yet, and the call was not to make a registry there."""


class BackendNotInstalledError(BackendError):
    """The backend exists but its driver is not installed; the message names the extra."""


class SchemaOutOfDateError(BackendError):
    """The database has another schema revision than this release needs."""


class UnsupportedBackendError(BackendError):
    """The backend lacks something that the promises of a `Store` rest on."""


class PushInterrupted(KeyboardInterrupt):
    """Ctrl-C came while the files of a version were pushed; the version is pending.

    The same call continues the push. `version` is None if there is no version yet: then large files
    were on their way to a server.
    """

    def __init__(self, name: str, version: int | None) -> None:
        super().__init__(
            f"no new version of '{name}' is registered yet: the same push again continues this one"
            if version is None
            else f"models:/{name}/{version} is pending: the same push again continues it, and "
            "sends no file twice"
        )
        self.name = name
        self.version = version
