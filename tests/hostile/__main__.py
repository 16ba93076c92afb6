"""Floods a server with hostile and clumsy clients, while well-behaved ones measure.

    nox -s hostile
    nox -s hostile -- --store sqlite --flood silent --flood many-elements
    nox -s hostile -- --store sqlite --access
    nox -s hostile -- --docs

For each flood: a new server, a quiet time, the flood, and a quiet time again. Prints what every kind
of call took, what memory the server took, and when all was normal again; fails when a bar does not
hold. With `--access` an access file says what each caller may do. `--docs` also writes the tables in
docs/evidence/reliability.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from hostile import report
from hostile.calm import CalmClients, Sample
from hostile.floods import FLOODS, Flood, flooding
from hostile.report import Run
from hostile.servers import FloodedServer, MemoryWatch, filled_store
from hostile.targets import STORES
from hostile.verdicts import Phases, Verdict, judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the arguments ask for; 1 if a bar does not hold."""
    options = _options(arguments)
    # Servers and clients end with whoever started them, also when that is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    good = True
    for store in options.store or STORES:
        with filled_store(store) as (url, directory):
            for name in options.flood or FLOODS:
                if store in FLOODS[name].stores:
                    verdict = measure(FLOODS[name], store, url, directory, options)
                    good &= verdict.holds
                    print(report.told(verdict), flush=True)
                    report.save(
                        Run(circumstances=_circumstances(), verdicts=[verdict]), options.results
                    )
    if options.docs:
        before = report.load(report.BEFORE) if report.BEFORE.exists() else None
        report.write(report.load(options.results), before)
    return 0 if good else 1


def measure(
    flood: Flood, store: str, url: str, directory: Path, options: argparse.Namespace
) -> Verdict:
    """What a flood does to a new server on a store that is filled."""
    with ExitStack() as stack:
        server = stack.enter_context(
            FloodedServer(
                url,
                directory,
                open_files=flood.open_files,
                workers=flood.workers,
                logins=flood.logins,
                access=options.access,
            )
        )
        clients = stack.enter_context(CalmClients(server.target))
        quiet = time.monotonic()
        time.sleep(options.quiet)
        quiet_end = time.monotonic()
        memory = stack.enter_context(MemoryWatch(server))
        with flooding(flood, server.target) as seen:
            began = time.monotonic()
            _pass(options.seconds, memory)
        end = time.monotonic()
        _pass(options.after, memory)
        over = time.monotonic()
        samples = clients.end()
        _check_quiet(samples, quiet, quiet_end)
        return judge(
            samples,
            Phases(quiet=quiet, quiet_end=quiet_end, flood=began, flood_end=end, over=over),
            {"before": memory.before, "most": memory.most, "after": memory.after},
            flood=flood.name,
            store=store,
            has_access=options.access,
            is_killed=memory.is_killed,
            ends=not memory.is_killed and server.ends_in_order(),
            seen=dict(seen),
        )


def _check_quiet(samples: Sequence[Sample], since: float, until: float) -> None:
    """A server that answers nobody even without a flood says nothing about floods."""
    found = [sample for sample in samples if since <= sample.due < until]
    lost = [sample for sample in found if math.isinf(sample.seconds)]
    assert len(lost) < len(found) / 10, f"{len(lost)} of {len(found)} quiet calls failed"


def _pass(seconds: float, memory: MemoryWatch) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not memory.is_killed:
        time.sleep(0.1)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option, choices in (("store", STORES), ("flood", FLOODS)):
        parser.add_argument(f"--{option}", action="append", choices=choices, help="else all")
    for option, default, meaning in (
        ("quiet", 5.0, "seconds before a flood"),
        ("seconds", 15.0, "of a flood"),
        ("after", 10.0, "seconds after a flood"),
    ):
        text = f"{meaning} (default {default:g})"
        parser.add_argument(f"--{option}", type=float, default=default, help=text)
    parser.add_argument(
        "--results",
        type=Path,
        default=report.RESULTS / "floods.json",
        help="file that keeps the figures of every flood until it is measured again",
    )
    parser.add_argument("--access", action="store_true", help="with an access file")
    parser.add_argument("--docs", action="store_true", help="write docs/evidence/reliability.md")
    return parser.parse_args(arguments)


def _circumstances() -> str:
    return (
        f"{time.strftime('%d %B %Y')}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )


if __name__ == "__main__":
    sys.exit(main())
