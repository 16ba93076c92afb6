"""Conformance, races and migrations of the SQL store on every kind of PostgreSQL; `--kind` for one of them.

Prints a line for each kind and fails if any has failed. A kind that the machine cannot have is named
with what is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from services.postgres_kinds import KINDS, Unavailable, running

TESTS = (
    "tests/stores/test_sql_conformance.py",
    "tests/stores/test_sql_races.py",
    "tests/migrations/test_migrations.py",
)


def main() -> int:
    """Runs them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument(
        "--kind", action="append", choices=sorted(KINDS), help="all, if none is given"
    )
    outcomes = {kind: outcome(kind) for kind in parser.parse_args().kind or KINDS}
    for kind, text in outcomes.items():
        print(f"{kind:28} {text}")
    return int(any(text.startswith("FAILED") for text in outcomes.values()))


def outcome(kind: str) -> str:
    """What became of the tests on one kind."""
    started = time.monotonic()
    try:
        with running(kind) as server:
            passed = run_tests(server.url())
    except Unavailable as missing:
        return f"not run: {missing}"
    return f"{'passed' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s"


def run_tests(url: str) -> bool:
    """Whether the tests pass on a server that runs."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-k", "ostgres", *TESTS]
    environ = os.environ | {"REGISTRY_TEST_POSTGRES_URL": url}
    return subprocess.run(command, env=environ, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
