"""MLflow's model registry REST API over any registry_core store."""

from typing import TYPE_CHECKING

from registry_server.process.settings import Settings

if TYPE_CHECKING:
    from registry_server.http.app import create_app

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> object:
    # On first use: the process that only starts workers has no need of a web framework.
    if name == "create_app":
        from registry_server.http.app import create_app  # noqa: PLC0415 see above

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
