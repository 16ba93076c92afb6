"""A model registry for machine learning, on the storage you already have.

from registry_core import open_registry

with open_registry("sqlite:///registry.db") as registry:
    registry.create_registered_model("churn")
    version = registry.create_model_version("churn", source="s3://bucket/models/churn")
    registry.set_registered_model_alias("churn", "champion", version.version)
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry_core import validation as validation
    from registry_core import wire as wire
    from registry_core.authors import Author, Origin
    from registry_core.backends import (
        open_registry,
        open_store,
        store_revision,
        store_url,
        upgrade_store,
    )
    from registry_core.errors import (
        AliasNotFoundError,
        AlreadyExistsError,
        ApprovalNotFoundError,
        ArtifactExistsError,
        ArtifactImmutableError,
        ArtifactMismatchError,
        ArtifactNotFoundError,
        BackendError,
        BackendNotInstalledError,
        ConflictError,
        ContentionError,
        FilterSyntaxError,
        GateRefusedError,
        IdempotencyKeyReusedError,
        InvalidArgumentError,
        InvalidUrlError,
        ModelVersionNotFoundError,
        NoModelVersionsError,
        NotFoundError,
        NotPermittedError,
        NoVersionInStageError,
        PushInterrupted,
        RegisteredModelNotFoundError,
        RegistryError,
        SchemaOutOfDateError,
        SearchTooSlowError,
        StaleValueError,
        StoreBusyError,
        StoreCorruptedError,
        StoreNotFoundError,
        StoreUnavailableError,
        UnexpectedAnswerError,
        UnknownBackendError,
        UnsupportedBackendError,
        WebhookNotFoundError,
    )
    from registry_core.history import Event
    from registry_core.models import Approval, ModelVersion, RegisteredModel, Stage, Status
    from registry_core.prompts import Prompt, PromptVersion
    from registry_core.registry import Registry
    from registry_core.search import Page
    from registry_core.snapshot_pieces import SpooledSnapshot
    from registry_core.snapshots import ModelSnapshot
    from registry_core.store import Store
    from registry_core.uris import ModelUri, parse_model_uri

__all__ = [
    "AliasNotFoundError",
    "AlreadyExistsError",
    "Approval",
    "ApprovalNotFoundError",
    "ArtifactExistsError",
    "ArtifactImmutableError",
    "ArtifactMismatchError",
    "ArtifactNotFoundError",
    "Author",
    "BackendError",
    "BackendNotInstalledError",
    "ConflictError",
    "ContentionError",
    "Event",
    "FilterSyntaxError",
    "GateRefusedError",
    "IdempotencyKeyReusedError",
    "InvalidArgumentError",
    "InvalidUrlError",
    "ModelSnapshot",
    "ModelUri",
    "ModelVersion",
    "ModelVersionNotFoundError",
    "NoModelVersionsError",
    "NoVersionInStageError",
    "NotFoundError",
    "NotPermittedError",
    "Origin",
    "Page",
    "Prompt",
    "PromptVersion",
    "PushInterrupted",
    "RegisteredModel",
    "RegisteredModelNotFoundError",
    "Registry",
    "RegistryError",
    "SchemaOutOfDateError",
    "SearchTooSlowError",
    "SpooledSnapshot",
    "Stage",
    "StaleValueError",
    "Status",
    "Store",
    "StoreBusyError",
    "StoreCorruptedError",
    "StoreNotFoundError",
    "StoreUnavailableError",
    "UnexpectedAnswerError",
    "UnknownBackendError",
    "UnsupportedBackendError",
    "WebhookNotFoundError",
    "open_registry",
    "open_store",
    "parse_model_uri",
    "store_revision",
    "store_url",
    "upgrade_store",
]

__version__: str
"""The version of the distribution."""

_MODULES = frozenset({"validation", "wire"})
"""Modules that are attributes without being imported first."""

_HOMES = {
    "Author": "authors",
    "Origin": "authors",
    "open_registry": "backends",
    "open_store": "backends",
    "store_revision": "backends",
    "store_url": "backends",
    "upgrade_store": "backends",
    "Event": "history",
    "ModelSnapshot": "snapshots",
    "SpooledSnapshot": "snapshot_pieces",
    "Approval": "models",
    "ModelVersion": "models",
    "RegisteredModel": "models",
    "Stage": "models",
    "Status": "models",
    "Prompt": "prompts",
    "PromptVersion": "prompts",
    "Registry": "registry",
    "Page": "search",
    "Store": "store",
    "ModelUri": "uris",
    "parse_model_uri": "uris",
}
"""Where the public names come from; all others are errors.

Strategy: each is imported when it is first used. A command line that shows its help, or a process
that wants one module, does not pay for the others. Type checkers see the imports above.
"""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 slow, and rarely needed

            globals()[name] = version("registry-core")
            return globals()[name]
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        home = importlib.import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
        # Kept, so that the next use finds it without asking here.
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES, "__version__"})
