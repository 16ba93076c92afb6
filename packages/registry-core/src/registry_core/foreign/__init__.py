"""Places outside of a registry where the files of versions lie, opened on a client's side."""

from registry_core.foreign.places import ForeignPlaces

__all__ = ["ForeignPlaces"]
