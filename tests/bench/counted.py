"""A registry server that counts its requests, or one that counts nothing.

    python -m bench.counted on|off ARGUMENTS OF registry-server

The second one is the first without the calls that `/metrics` is made of: no server is told to do so, and
only a measurement wants it.
"""

import sys

from registry_server.http.metrics import Metrics
from registry_server.process.command import main


def nothing(*_, **__):
    """Counts nothing."""


if __name__ == "__main__":
    if sys.argv[1] == "off":
        for call in ("record", "stored", "moved", "observe", "sample"):
            setattr(Metrics, call, nothing)
    main(sys.argv[2:])
