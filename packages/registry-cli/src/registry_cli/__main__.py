"""`python -m registry_cli` is `regctl`."""

from registry_cli.main import main

main()
