"""The backends that ship with registry_core."""
