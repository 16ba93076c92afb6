"""`python -m registry_server`."""

from registry_server.process.command import main

if __name__ == "__main__":
    main()
