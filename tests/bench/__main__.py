"""Measure against the real MLflow 3.17.2 and against the machine, interleaved, in one run.

    nox -s bench
    nox -s bench -- --parts compare --stores sqlite --connections 32 --without-mlflow
    nox -s bench -- --parts releases --before ../checkout-of-the-release-before
    nox -s bench -- --parts none --docs

Prints tables and keeps the figures of each part in `bench-results/`, until the part runs again.
`--docs` also writes them into docs/evidence/performance.md. Never a test: it fails when requests fail or the
two servers answer differently, and not when they are slow. A part that fails does not stop the next.
"""

import argparse
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path

from bench import (
    artifacts,
    bucket_growth,
    buckets,
    compare,
    contention,
    footprint,
    growth,
    load,
    releases,
    report,
)

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench-results"
PARTS = {
    "compare": compare.run,
    "footprint": footprint.run,
    "growth": growth.run,
    "contention": contention.run,
    "buckets": buckets.run,
    "bucket growth": bucket_growth.run,
    "artifacts": artifacts.run,
    "releases": releases.run,
}


def main():
    """Runs what the arguments ask for."""
    options = _options()
    load.require("wrk", "pgbench")
    failed = [part for part in options.parts if not _measured(part, options)]
    if options.docs:
        found = {part: RESULTS / f"{part}.json" for part in PARTS}
        report.write(
            ROOT / "docs" / "evidence",
            {part: json.loads(path.read_text()) for part, path in found.items() if path.exists()},
        )
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


def _measured(part, options):
    """Whether the part could be measured; its figures are printed and kept."""
    print(f"{part} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    kept = {"part": part, "options": vars(options), "machine": _machine()}
    try:
        kept["figures"] = PARTS[part](options)
    except (Exception, SystemExit):  # noqa: BLE001 what was measured before is worth keeping
        traceback.print_exc()
        return False
    kept["load_after"] = os.getloadavg()[0]
    kept["seconds"] = round(time.monotonic() - began)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(kept, indent=1)
    (RESULTS / f"{part}.json").write_text(text)
    (RESULTS / f"{part}-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(text)
    # As it is read back: the keys of JSON are texts.
    print(report.text(part, json.loads(text)["figures"]))
    print(f"{part}: {kept['seconds']} s", file=sys.stderr, flush=True)
    return True


def _options():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])

    def several(kind, default, help_text):
        convert = lambda text: [kind(item) for item in text.split(",") if item != "none"]  # noqa: E731
        return {"type": convert, "default": convert(default), "help": help_text}

    # There is nothing to compare with unless somebody says what.
    usual = ",".join(part for part in PARTS if part != "releases")
    parser.add_argument("--parts", **several(str, usual, f"of {', '.join(PARTS)}, or none"))
    parser.add_argument("--before", help="the checkout that `releases` compares this one with")
    parser.add_argument("--stores", **several(str, "postgresql,sqlite", "kinds of database"))
    parser.add_argument("--connections", **several(int, "8,32", "numbers of clients"))
    parser.add_argument("--workers", **several(int, "1,2", "numbers of workers"))
    parser.add_argument("--sizes", **several(int, "1000,10000,100000", "models, for growth"))
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--versions", type=int, default=10, help="of each model")
    parser.add_argument("--bucket-models", type=int, default=10_000)
    parser.add_argument("--file-mib", type=int, default=5 * 1024, help="the large artifact")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements; the median counts")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--without-mlflow", dest="mlflow", action="store_false")
    parser.add_argument("--docs", action="store_true", help="write docs/evidence/performance.md")
    return parser.parse_args()


def _machine():
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "processors": f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
