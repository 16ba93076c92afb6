"""Replays generated sequences on the real MLflow server and on ours, and reports what differs.

    python -m differential --sequences 2000 --stores sqlite,postgresql,s3

Exits with 1 when there is a difference that `docs/reference/deviations.md` does not list, or a listed one
that did not happen. Every sequence has a seed, which is printed; `--seed` and `--sequences 1` run
one again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from differential.report import Report
from differential.run import Settings, run

STORES = ("sqlite", "postgresql", "s3", "memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="differential", description=__doc__)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="of the first sequence")
    parser.add_argument("--length", type=int, default=18, help="steps of a sequence, about")
    parser.add_argument("--stores", default="sqlite,postgresql,s3")
    parser.add_argument("--clients", type=int, default=2, help="sequences replayed at a time")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of our server")
    parser.add_argument(
        "--mlflow-python",
        default=sys.executable,
        help="interpreter of an environment with another release of MLflow",
    )
    parser.add_argument("--report", type=Path, help="also write it to this page, as it grows")
    parser.add_argument("--no-shrink", action="store_true")
    options = parser.parse_args(arguments)
    stores = tuple(options.stores.split(","))
    if unknown := set(stores) - set(STORES):
        parser.error(f"unknown stores {sorted(unknown)}; known: {', '.join(STORES)}")
    settings = Settings(
        sequences=options.sequences,
        seed=options.seed,
        length=options.length,
        stores=stores,
        clients=options.clients,
        workers=options.workers,
        shrink=not options.no_shrink,
        mlflow_python=options.mlflow_python,
    )

    def progress(report: Report) -> None:
        print(f"after {report.seconds:.0f} seconds: {report.progress}", file=sys.stderr)
        if options.report:
            kept = options.report.read_text() if options.report.exists() else ""
            options.report.write_text(report.markdown(kept))

    report = run(settings, progress)
    progress(report)
    print(report)
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
