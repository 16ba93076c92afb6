"""What `import registry_core` gives, and what it costs."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import registry_core
from registry_core.artifacts import trees
from registry_core.stores.memory import MemoryStore
from services.live_server import LiveServer

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
    "ModelSnapshot",
    "FilterSyntaxError",
    "GateRefusedError",
    "IdempotencyKeyReusedError",
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
}


def _modules_after(code):
    script = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_these():
    """A name is added or removed on purpose."""
    assert set(registry_core.__all__) == PUBLIC
    assert all(hasattr(registry_core, name) for name in PUBLIC)


def test_importing_the_library_imports_nothing_else():
    """Each name is imported when it is used."""
    ours = {name for name in _modules_after("import registry_core") if name.startswith("registry_")}
    assert ours == {"registry_core"}
    after_one = _modules_after("import registry_core; registry_core.NotFoundError")
    assert "registry_core.errors" in after_one
    assert "registry_core.registry" not in after_one


def test_every_name_comes_from_where_type_checkers_find_it():
    """The table says what the imports for checkers say."""
    (block,) = [
        node
        for node in ast.parse(Path(registry_core.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    homes = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(homes) == PUBLIC | registry_core._MODULES
    assert set(dir(registry_core)) >= set(homes)
    for name in PUBLIC:
        home = importlib.import_module(homes[name])
        assert getattr(registry_core, name) is getattr(home, name)
    assert registry_core.wire is importlib.import_module("registry_core.wire")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = registry_core.nothing


def test_opening_a_memory_registry_imports_no_driver():
    """A pipeline pays only for the backend it uses."""
    code = "import registry_core; registry_core.Registry; registry_core.open_registry"
    assert not _modules_after(code) & set(HEAVY)


WINDOWS = """
import os, select, sys
sys.modules["fcntl"] = None
for module, names in (
    (os, ("register_at_fork", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "fork")),
    (select, ("poll", "epoll")),
):
    for name in names:
        delattr(module, name)
os.supports_dir_fd.clear()

from registry_core import UnsupportedBackendError, open_registry

with open_registry(sys.argv[1], artifacts=sys.argv[2]) as registry:
    registry.create_registered_model("m")
    registry.create_model_version("m", source="s3://b/m")
    registry.set_registered_model_alias("m", "champion", 1)
    print(registry.get_model_version_by_alias("m", "champion").version)
    try:
        registry.pull_model_version("m", 1, sys.argv[3])
    except UnsupportedBackendError as error:
        print(error)
    except Exception as error:
        print(type(error).__name__)
"""
"""What a program does that knows nothing of POSIX."""


def _as_on_windows(url, tmp_path):
    arguments = [url, str(tmp_path / "files"), str(tmp_path / "out")]
    return subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_sqlite_needs_no_posix(tmp_path):
    """As on Windows: models and versions, without their files."""
    assert _as_on_windows(f"sqlite:///{tmp_path}/r.db", tmp_path)[0] == "1"


def test_a_server_can_be_used_without_posix(tmp_path):
    """As on Windows."""
    with LiveServer() as server:
        server.serve(MemoryStore())
        assert _as_on_windows(server.url, tmp_path)[0] == "1"


def test_files_need_posix(tmp_path, monkeypatch):
    """The error says so, before anything is written."""
    monkeypatch.setattr(trees, "IS_POSIX", False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("a")
    with registry_core.open_registry("memory:", artifacts=str(tmp_path / "files")) as registry:
        registry.create_registered_model("m")
        with pytest.raises(registry_core.UnsupportedBackendError, match="POSIX"):
            registry.create_model_version("m", source=str(tmp_path / "model"))
        assert not registry.search_model_versions().items


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
