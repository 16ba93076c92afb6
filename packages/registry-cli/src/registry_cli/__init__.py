"""regctl: a command line for model registries."""
