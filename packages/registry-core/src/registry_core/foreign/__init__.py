"""Places outside of a registry where the files of versions lie, opened on a client's side."""

from registry_core.foreign.sources import ForeignSources

__all__ = ["ForeignSources"]
