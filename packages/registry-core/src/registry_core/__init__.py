"""A model registry for machine learning, on the storage you already have.

from registry_core import open_registry

with open_registry("sqlite:///registry.db") as registry:
    registry.create_registered_model("churn")
    version = registry.create_model_version("churn", source="s3://bucket/models/churn")
    registry.set_registered_model_alias("churn", "champion", version.version)
"""

from registry_core.authors import Author, Origin
from registry_core.backends import open_registry, open_store, store_url
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ArtifactExistsError,
    ArtifactImmutableError,
    ArtifactMismatchError,
    ArtifactNotFoundError,
    BackendError,
    BackendNotInstalledError,
    ConflictError,
    ContentionError,
    FilterSyntaxError,
    InvalidArgumentError,
    InvalidUrlError,
    ModelVersionNotFoundError,
    NoModelVersionsError,
    NotFoundError,
    NotPermittedError,
    NoVersionInStageError,
    RegisteredModelNotFoundError,
    RegistryError,
    SchemaOutOfDateError,
    SearchTooSlowError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnknownBackendError,
    UnsupportedBackendError,
    WebhookNotFoundError,
)
from registry_core.models import ModelVersion, RegisteredModel, Stage, Status
from registry_core.registry import Registry
from registry_core.search import Page
from registry_core.store import Store
from registry_core.uris import ModelUri, parse_model_uri

__all__ = [
    "AliasNotFoundError",
    "AlreadyExistsError",
    "ArtifactExistsError",
    "ArtifactImmutableError",
    "ArtifactMismatchError",
    "ArtifactNotFoundError",
    "Author",
    "BackendError",
    "BackendNotInstalledError",
    "ConflictError",
    "ContentionError",
    "FilterSyntaxError",
    "InvalidArgumentError",
    "InvalidUrlError",
    "ModelUri",
    "ModelVersion",
    "ModelVersionNotFoundError",
    "NoModelVersionsError",
    "NoVersionInStageError",
    "NotFoundError",
    "NotPermittedError",
    "Origin",
    "Page",
    "RegisteredModel",
    "RegisteredModelNotFoundError",
    "Registry",
    "RegistryError",
    "SchemaOutOfDateError",
    "SearchTooSlowError",
    "Stage",
    "Status",
    "Store",
    "StoreBusyError",
    "StoreCorruptedError",
    "StoreUnavailableError",
    "UnexpectedAnswerError",
    "UnknownBackendError",
    "UnsupportedBackendError",
    "WebhookNotFoundError",
    "open_registry",
    "open_store",
    "parse_model_uri",
    "store_url",
]
