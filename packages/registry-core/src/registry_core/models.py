"""What a registry keeps: frozen values, without behaviour of their own.

Timestamps are milliseconds since the epoch, UTC. Tags and aliases are mappings in order of their
keys. `None` is "never given" and differs from an empty text, as on MLflow (contract 1.3).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from registry_core import validation
from registry_core.display import Shown, Timed
from registry_core.drafts import creating
from registry_core.errors import InvalidArgumentError
from registry_core.fields import about, fields_of
from registry_core.unread import ReadLater

StageName: TypeAlias = Literal["None", "Staging", "Production", "Archived"]
"""The stages by their names, for type checkers; at run time any case of letters will do."""


class Stage(enum.StrEnum):
    """Where a model version stands. Compares equal to its MLflow spelling.

    Example:
        >>> Stage.parse("production") == "Production"
        True
    """

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"

    @property
    def is_active(self) -> bool:
        """Whether versions compete for the stage, so that a transition may archive the others."""
        return self in (Stage.STAGING, Stage.PRODUCTION)

    @classmethod
    def parse(cls, text: str) -> Stage:
        """Return the stage of that name in any case (contract 3.9).

        Raises:
            InvalidArgumentError: no stage has this name.
        """
        stage = _STAGES.get(text.lower())
        if stage is None:
            raise InvalidArgumentError(
                f"Invalid Model Version stage: {text}. Value must be one of "
                f"{', '.join(member.value for member in cls)}."
            )
        return stage


_STAGES = {stage.value.lower(): stage for stage in Stage}


DIGEST_TAG = "registry.artifacts.digest"
"""The tag of a version that says which bytes it is: the root digest of its manifest."""

ORIGINAL_SOURCE_TAG = "registry.artifacts.original_source"
"""The tag of a version whose files came along in a copy of its registry: its source before that."""


class Status(enum.StrEnum):
    """Whether the artifacts of a model version are in place.

    Example:
        >>> registry.get_model_version("churn", 1).status is Status.READY
        True
    """

    PENDING_REGISTRATION = "PENDING_REGISTRATION"
    FAILED_REGISTRATION = "FAILED_REGISTRATION"
    READY = "READY"


# What every field of an entity is to a store, the wire and so on is said here, in `about`, and
# nowhere else: see `registry_core.fields`. Without slots, which frozen classes fill by one call
# each: a page of models is hundreds of these.


@attrs.frozen(kw_only=True, slots=False, repr=False)
class ModelVersion(Shown, Timed):
    """One version of a registered model.

    Example:
        >>> version = registry.get_model_version("churn", 2)
        >>> version.source, version.status.value, dict(version.tags)
        ('s3://models/churn/2', 'READY', {'auc': '0.93'})
    """

    name: str = attrs.field(
        metadata=about(filter_key="name", takes_lists=True, sort_keys=("name",))
    )
    version: int = attrs.field(
        metadata=about(filter_key="version_number", sort_keys=("version_number",))
    )
    creation_timestamp: int = attrs.field(
        metadata=about(column="creation_time", sort_keys=("creation_timestamp",), label="created")
    )
    last_updated_timestamp: int = attrs.field(
        metadata=about(
            column="last_updated_time", sort_keys=("last_updated_timestamp",), label="updated"
        )
    )
    current_stage: Stage = attrs.field(default=Stage.NONE, metadata=about(label="stage"))
    source: str = attrs.field(
        metadata=about(
            max_length=validation.SOURCE_MAX_LENGTH,
            is_uri=True,
            is_folded=True,
            filter_key="source_path",
        )
    )
    storage_location: str | None = attrs.field(
        default=None,
        metadata=about(max_length=validation.SOURCE_MAX_LENGTH, is_uri=True, is_on_wire=False),
    )
    """Where the bytes are, when that is not `source` itself."""
    run_id: str | None = attrs.field(
        default=None,
        metadata=about(
            max_length=validation.RUN_ID_MAX_LENGTH,
            is_folded=True,
            filter_key="run_id",
            takes_lists=True,
        ),
    )
    run_link: str | None = attrs.field(
        default=None, metadata=about(max_length=validation.SOURCE_MAX_LENGTH, is_uri=True)
    )
    status: Status = Status.READY
    status_message: str | None = attrs.field(
        default=None, metadata=about(is_uri=True, may_be_apart=True)
    )
    description: str | None = attrs.field(
        default=None,
        metadata=about(
            max_length=validation.DESCRIPTION_MAX_LENGTH, is_long=True, may_be_apart=True
        ),
    )
    user_id: str | None = attrs.field(
        default=None, metadata=about(max_length=validation.RUN_ID_MAX_LENGTH)
    )
    model_id: str | None = attrs.field(
        default=None, metadata=about(max_length=validation.RUN_ID_MAX_LENGTH)
    )
    """The logged model a client named; stored as given and resolved by the client."""
    tags: Mapping[str, str] = attrs.field(factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def download_uri(self) -> str:
        """Where the bytes of this version are."""
        return self.storage_location or self.source

    def _facts(self) -> list[str]:
        return [
            repr(f"models:/{self.name}/{self.version}"),
            "" if self.status is Status.READY else self.status.value,
            "" if self.current_stage is Stage.NONE else self.current_stage.value,
            f"aliases {', '.join(self.aliases)}" if self.aliases else "",
        ]


def _checked(check: Callable[[Any], object]) -> Callable[[object, Any, Any], None]:
    """An attrs validator from a function of `validation`."""

    def validator(_: object, __: object, value: Any) -> None:
        check(value)

    return validator


@attrs.frozen(kw_only=True)
class Approval:
    """Somebody's word that a model version may be promoted. One person gives one for a version.

    Example:
        >>> approval = registry.acting_as("ann").approve_model_version("churn", 1, reason="fine")
        >>> approval.actor, approval.reason, approval.is_authenticated
        ('ann', 'fine', False)
    """

    actor: str = attrs.field(validator=_checked(validation.actor))
    """Who gave it."""
    is_authenticated: bool = False
    """Whether a server has proved `actor`; otherwise the name is a claim."""
    groups: tuple[str, ...] = attrs.field(default=(), validator=_checked(validation.groups))
    """The groups that the actor was in when it was given, as far as a server knew."""
    digest: str = attrs.field(validator=_checked(validation.digest))
    """What was approved: it counts while the version has this digest; see `gates.identity`."""
    reason: str | None = attrs.field(default=None, validator=_checked(validation.reason))
    time: int = 0
    """Milliseconds since the epoch, by the store's clock."""


@attrs.frozen(kw_only=True, slots=False, repr=False)
class ModelFields(Shown, Timed):
    """What a registered model has of its own: all but its versions."""

    name: str = attrs.field(
        metadata=about(is_folded=True, filter_key="name", takes_lists=True, sort_keys=("name",))
    )
    creation_timestamp: int = attrs.field(metadata=about(column="creation_time", label="created"))
    last_updated_timestamp: int = attrs.field(
        metadata=about(
            column="last_updated_time",
            sort_keys=("timestamp", "last_updated_timestamp"),
            label="updated",
        )
    )
    description: str | None = attrs.field(
        default=None,
        metadata=about(
            max_length=validation.DESCRIPTION_MAX_LENGTH, is_long=True, may_be_apart=True
        ),
    )
    deployment_job_id: str | None = attrs.field(
        default=None, metadata=about(max_length=validation.RUN_ID_MAX_LENGTH)
    )
    deployment_job_state: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)
    aliases: Mapping[str, int] = attrs.field(factory=dict)

    def _facts(self) -> list[str]:
        aliases = ", ".join(f"{alias} = {version}" for alias, version in self.aliases.items())
        return [repr(self.name), f"aliases {aliases}" if aliases else ""]


@attrs.frozen(kw_only=True, slots=False, repr=False)
class RegisteredModel(ModelFields):
    """A registered model, with the newest version of each stage it has versions in.

    Example:
        >>> model = registry.get_registered_model("churn")
        >>> model.name, dict(model.tags), model.latest_versions[0].version
        ('churn', {'team': 'risk'}, 3)
    """

    latest_versions: tuple[ModelVersion, ...] = ()
    """In the order None, Staging, Production, Archived; each with its tags and aliases."""

    @property
    def is_prompt(self) -> bool:
        """Whether this is a prompt of MLflow's prompt registry (contract 5)."""
        return validation.is_prompt(self.tags)

    def _facts(self) -> list[str]:
        newest = max((each.version for each in self.latest_versions), default=None)
        name, *others = super()._facts()
        return [name, "no versions" if newest is None else f"newest version {newest}", *others]

    def __getstate__(self) -> dict[str, Any]:
        _ = self.latest_versions  # What is copied or pickled has been read.
        return self.__dict__


LATEST_VERSIONS = ReadLater("latest_versions")
RegisteredModel.latest_versions = LATEST_VERSIONS  # type: ignore[assignment]  # as a value


def _optional_text(entity: type[attrs.AttrsInstance]) -> Callable[[object, Any, Any], None]:
    """An attrs validator for an optional text, which may be as long as that of an entity."""
    lengths = {
        field.name: field.about.max_length
        for field in fields_of(entity)
        if field.about.max_length is not None
    }

    def validator(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
        if value is not None:
            name = attribute.name
            validation.text(value, parameter=name, max_length=lengths[name])

    return validator


_name = _checked(validation.model_name)
_model_text = _optional_text(RegisteredModel)
_version_text = _optional_text(ModelVersion)


@attrs.frozen(kw_only=True)
class NewRegisteredModel:
    """A registered model to create.

    Constructing one raises `InvalidArgumentError` if it is illegal.
    """

    name: str = attrs.field(validator=_name)
    description: str | None = attrs.field(default=None, validator=_model_text)
    tags: Mapping[str, str] = attrs.field(factory=dict, validator=_checked(validation.tags))
    deployment_job_id: str | None = attrs.field(default=None, validator=_model_text)

    def created(self, *, now: int) -> RegisteredModel:
        """Return the model that this has become; it has no versions and aliases yet.

        `now` is in milliseconds since the epoch. Tags are in the order of their keys.
        """
        created: RegisteredModel = _create_model(self, now)
        return created


@attrs.frozen(kw_only=True)
class NewModelVersion:
    """A model version to create. Constructing one raises `InvalidArgumentError` if it is illegal.

    `source` and `storage_location` are final: the registry has resolved and checked them.
    """

    name: str = attrs.field(validator=_name)
    source: str = attrs.field(validator=_version_text)
    storage_location: str | None = attrs.field(default=None, validator=_version_text)
    run_id: str | None = attrs.field(default=None, validator=_version_text)
    run_link: str | None = attrs.field(default=None, validator=_version_text)
    description: str | None = attrs.field(default=None, validator=_version_text)
    user_id: str | None = attrs.field(default=None, validator=_version_text)
    model_id: str | None = attrs.field(default=None, validator=_version_text)
    tags: Mapping[str, str] = attrs.field(factory=dict, validator=_checked(validation.version_tags))
    status: Status = Status.READY
    """`PENDING_REGISTRATION` reserves the number while artifacts are uploaded."""

    def created(self, version: int, *, now: int) -> ModelVersion:
        """Return the version that this has become, with that number; it has no aliases yet.

        `now` is in milliseconds since the epoch. Tags are in the order of their keys.
        """
        created: ModelVersion = _create_version(self, now, version)
        return created


_create_model = creating(NewRegisteredModel, RegisteredModel)
_create_version = creating(NewModelVersion, ModelVersion, "version")


class WebhookEntity(enum.StrEnum):
    """What an event is about, by its spelling in payloads; the wire uses the member's name."""

    REGISTERED_MODEL = "registered_model"
    MODEL_VERSION = "model_version"
    MODEL_VERSION_TAG = "model_version_tag"
    MODEL_VERSION_ALIAS = "model_version_alias"
    PROMPT = "prompt"
    PROMPT_VERSION = "prompt_version"
    PROMPT_TAG = "prompt_tag"
    PROMPT_VERSION_TAG = "prompt_version_tag"
    PROMPT_ALIAS = "prompt_alias"
    BUDGET_POLICY = "budget_policy"
    # Ours come last: MLflow numbers its own (contract 6.1).
    REGISTERED_MODEL_TAG = "registered_model_tag"


class WebhookAction(enum.StrEnum):
    """What happened, by its spelling in payloads; the wire uses the member's name."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    SET = "set"
    EXCEEDED = "exceeded"
    # Ours, as above.
    RENAMED = "renamed"
    TRANSITIONED = "transitioned"
    FINALIZED = "finalized"
    RELOCATED = "relocated"
    RESTORED = "restored"
    APPROVED = "approved"
    APPROVAL_WITHDRAWN = "approval_withdrawn"


@attrs.frozen(order=True)
class WebhookEvent:
    """A kind of event that a webhook may be sent."""

    entity: WebhookEntity
    action: WebhookAction


class WebhookStatus(enum.StrEnum):
    """Whether a webhook is delivered to."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


@attrs.frozen(kw_only=True)
class Webhook(Timed):
    """Where to send which events (contract 6)."""

    webhook_id: str
    name: str
    url: str
    events: tuple[WebhookEvent, ...]
    description: str | None = None
    status: WebhookStatus = WebhookStatus.ACTIVE
    secret: str | None = attrs.field(default=None, repr=False)
    """The signing secret as it is stored: encrypted. Never sent to a client."""
    copied_as: str | None = attrs.field(default=None, repr=False)
    """A digest of what a copy of another registry has made of it last; None where none has. So the
    next copy knows whether somebody has changed it since, but for its secret."""
    creation_timestamp: int
    last_updated_timestamp: int


@attrs.frozen(kw_only=True)
class NewWebhook:
    """A webhook to create; checked by `registry_core.registry`."""

    webhook_id: str
    name: str
    url: str
    events: tuple[WebhookEvent, ...]
    description: str | None = None
    status: WebhookStatus = WebhookStatus.ACTIVE
    secret: str | None = attrs.field(default=None, repr=False)
    idempotency_key: str | None = None
    """Under which its caller creates it, for a store that leaves the id to a server. For the others
    the id says it; see `registry_core.webhooks.Webhooks`."""
    copied_as: str | None = None
    """See `Webhook`."""


class Unset(enum.Enum):
    """The value of a field that a change leaves alone, where None would erase it."""

    UNSET = enum.auto()


UNSET = Unset.UNSET


@attrs.frozen(kw_only=True)
class WebhookChanges:
    """New values for some fields of a webhook; the others are `UNSET`."""

    name: str | Unset = UNSET
    url: str | Unset = UNSET
    events: tuple[WebhookEvent, ...] | Unset = UNSET
    description: str | Unset | None = UNSET
    status: WebhookStatus | Unset = UNSET
    secret: str | Unset | None = attrs.field(default=UNSET, repr=False)
    copied_as: str | Unset | None = UNSET
    """See `Webhook`."""
