"""What `import registry_core` gives, and what it costs."""

import json
import subprocess
import sys

import registry_core

HEAVY = (
    "sqlalchemy",
    "alembic",
    "psycopg",
    "boto3",
    "botocore",
    "fsspec",
    "urllib3",
    "cryptography",
)

PUBLIC = {
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
}


def _modules_after(code):
    script = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these():
    """A name is added or removed on purpose."""
    assert set(registry_core.__all__) == PUBLIC
    assert all(hasattr(registry_core, name) for name in PUBLIC)


def test_importing_the_library_imports_no_driver():
    """A pipeline pays only for the backend it uses."""
    assert not _modules_after("import registry_core") & set(HEAVY)


def test_a_memory_registry_needs_no_driver():
    """The core alone is a working registry."""
    code = "import registry_core; registry_core.open_registry('memory:').search_model_versions()"
    assert not _modules_after(code) & set(HEAVY)


def test_a_missing_driver_names_the_extra_to_install():
    """The message is the command that helps."""
    code = """
import sys
sys.modules["sqlalchemy"] = None
import registry_core
try:
    registry_core.open_store("postgresql://127.0.0.1/none")
except registry_core.BackendNotInstalledError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "pip install 'registry-core[postgres]'" in done.stdout


def test_an_unknown_scheme_names_the_known_ones():
    """A typing error in a URL is one line away from its cure, and shows no password."""
    try:
        registry_core.open_store("mysql://user:secret@host/db")
    except registry_core.UnknownBackendError as error:
        message = str(error)
    assert "sqlite:" in message
    assert "postgresql:" in message
    assert "secret" not in message
