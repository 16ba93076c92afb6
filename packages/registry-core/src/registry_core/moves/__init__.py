"""Moving registered models between registries: sources of snapshots, copying, comparing."""
