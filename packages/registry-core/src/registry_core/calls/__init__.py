"""The methods of `registry_core.registry.Registry`, by what they are about."""
