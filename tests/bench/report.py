"""Figures as tables: for a terminal, and in Markdown for docs/evidence/performance.md, with plots."""

import re

from bench import plots
from bench.contention import SHARE
from bench.pgbench import SENT

NONE = "-"


def text(part, figures):
    """The tables of a part, to be read as they are."""
    return "\n\n".join(f"{title}\n\n{table}" for title, table in tables(part, figures))


def write(docs, parts):
    """Replaces what stands between the marks of each part in docs/evidence/performance.md."""
    page = docs / "performance.md"
    content = page.read_text()
    for part, kept in parts.items():
        blocks = [f"{_circumstances(kept)}"]
        blocks += [f"**{title}**\n\n{table}" for title, table in tables(part, kept["figures"])]
        block = "\n\n".join(blocks)
        content = re.sub(
            rf"(<!-- {part} -->\n).*?(<!-- end of {part} -->)",
            lambda found, block=block: f"{found[1]}\n{block}\n\n{found[2]}",
            content,
            flags=re.DOTALL,
        )
    page.write_text(content)
    for name, picture in plots.draw(parts).items():
        (docs / name).write_text(picture)


def tables(part, figures):
    """Titles and Markdown tables of a part."""
    return _TABLES[part](figures)


def _circumstances(kept):
    machine = kept["machine"]
    return (
        f"{machine['date']}, {machine['processors']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}; load average {machine['load_before']:.1f} before and "
        f"{kept['load_after']:.1f} after."
    )


def _compare(figures):
    head = [
        "operation", "ours/s", "MLflow/s", "ratio", "bar", "CPU µs", "bar", "of empty",
        "MLflow CPU µs",
        "p50 ms", "p99 ms", "MLflow p50", "MLflow p99", "statements", "MLflow's",
        "database CPU µs", "pgbench/s", f"planned, of {SENT}",
    ]  # fmt: skip
    return [
        (title, _table([head, *(_compared(name, row, table) for name, row in table.items())]))
        for title, table in figures.items()
    ]


def _compared(name, row, table):
    floor = table["empty handler"]["ours"]["cpu_us"]
    ours, theirs, bars = row["ours"], row.get("mlflow", {}), row.get("bars", {})
    rate = ours["requests_per_second"]
    their_rate = theirs.get("requests_per_second")
    return [
        name,
        _number(rate),
        _number(their_rate),
        _number(rate / their_rate if their_rate else None),
        _number(bars.get("ratio")),
        _number(ours["cpu_us"]),
        _number(bars.get("cpu_us")),
        f"{ours['cpu_us'] / floor:.1f}x",
        _number(theirs.get("cpu_us")),
        *(_number(ours[key] / 1e3, 2) for key in ("p50_us", "p99_us")),
        *(_number(theirs and theirs[key] / 1e3) for key in ("p50_us", "p99_us")),
        _number(row.get("ours_statements")),
        _number(row.get("mlflow_statements")),
        _number(ours["database_cpu_us"] or None),
        _number(row.get("pgbench", {}).get("requests_per_second")),
        _number(row.get("planned")),
    ]


def _growth(figures):
    found = []
    for kind, parts in figures.items():
        sizes = list(next(iter(parts["sizes"].values())))
        head = ["operation", *(f"{int(size):,} models" for size in sizes), "CPU growth", "growth"]
        rows = [
            [
                name,
                *(f"{_number(row[size]['requests_per_second'])}/s" for size in sizes),
                _growth_of(row, "cpu_us", sizes),
                _growth_of(row, "requests_per_second", sizes[::-1]),
            ]
            for name, row in parts["sizes"].items()
        ]
        found.append((f"{kind}: growth of the registry", _table([head, *rows])))
        rows = [
            *_against_first("page", parts["pages"]),
            *_against_first("get model with so many versions:", parts["get by versions"]),
        ]
        head = ["", "per second", "CPU µs", "time, of the first"]
        found.append((f"{kind}: depth and breadth", _table([head, *rows])))
        rows = [
            [size, _number(row["seconds"] * 1e3, 1), _number(row["statements"])]
            for size, row in parts["delete"].items()
        ]
        head = ["versions of a deleted model", "ms", "statements"]
        found.append((f"{kind}: delete", _table([head, *rows])))
    return found


def _growth_of(row, figure, sizes):
    first, last = row[sizes[0]][figure], row[sizes[-1]][figure]
    return f"{last / first:.2f}x"


def _against_first(label, rows):
    first = next(iter(rows.values()))["requests_per_second"]
    return [
        [
            name if label == "page" else f"{label} {int(name):,}",
            _number(row["requests_per_second"]),
            _number(row["cpu_us"]),
            f"{first / row['requests_per_second']:.2f}x",
        ]
        for name, row in rows.items()
    ]


def _contention(figures):
    found = []
    for kind, parts in figures.items():
        together, apart = parts["writers"].values()
        rows = [
            [name, _number(row["requests_per_second"]), _number(row["p99_us"] / 1e3, 1)]
            for name, row in parts["writers"].items()
        ]
        ratio = together["requests_per_second"] / apart["requests_per_second"]
        found.append(
            (
                f"{kind}: 32 writers; on one model {ratio:.2f} of what they reach on 32",
                _table([["versions created on", "per second", "p99 ms"], *rows]),
            )
        )
        rows = [
            [
                name,
                _number(row["1"]["requests_per_second"]),
                _number(row["2"]["requests_per_second"]),
                _gain(row, "1", "2"),
                *(_number(row.get(held, {}).get("requests_per_second")) for held in HELD),
                _gain(row, *HELD),
                _number(row["2"]["cpu_us"]),
                _number(row["2"]["database_cpu_us"] or None),
            ]
            for name, row in parts["workers"].items()
        ]
        head = ["operation", "1 worker/s", "2 workers/s", "ratio"]
        head += [f"{workers} at {SHARE:g} of a core/s" for workers in (1, 2)] + ["ratio "]
        head += ["CPU µs", "database CPU µs"]
        found.append((f"{kind}: one worker and two", _table([head, *rows])))
    return found


HELD = ("1 held", "2 held")


def _gain(row, one, two):
    if one not in row:
        return NONE
    return f"{row[two]['requests_per_second'] / row[one]['requests_per_second']:.2f}"


def _footprint(figures):
    rows = [
        [
            name,
            _number(row["first_answer_seconds"], 2),
            _number(row["pss_mib"]),
            _number(row.get("parent_pss_mib")),
        ]
        for name, row in figures["servers"].items()
    ]
    commands = [[f"`{name}`", _number(row, 3)] for name, row in figures["commands"].items()]
    return [
        (
            "servers",
            _table([["server", "first answer, s", "idle PSS, MiB", "of the parent"], *rows]),
        ),
        ("commands", _table([["command", "seconds"], *commands])),
    ]


def _buckets(figures):
    rows = [
        [
            name,
            ", ".join(sorted(f"{row['requests'].count(r)} {r}" for r in set(row["requests"]))),
            _number(row["seconds"] * 1e3, 2),
            _number(row["bare_seconds"] * 1e3, 2),
            f"{row['bare_seconds'] / row['seconds']:.2f}",
        ]
        for name, row in figures.items()
    ]
    head = ["call", "requests", "ms", "bare boto3, ms", "throughput of bare"]
    return [("S3 store", _table([head, *rows]))]


def _bucket_growth(figures):
    head = ["call", "requests", "ms", "kB moved"]
    return [
        (
            group,
            _table(
                [
                    head,
                    *(
                        [
                            name,
                            ", ".join(f"{n:,} {verb}" for verb, n in row["requests"].items()),
                            _number(row["seconds"] * 1e3, 1),
                            _number(row["bytes"] / 1e3, 1),
                        ]
                        for name, row in rows.items()
                    ),
                ]
            ),
        )
        for group, rows in figures.items()
    ]


def _artifacts(figures):
    large, small = figures["large"], figures["small"]
    seconds = large["seconds"]
    rows = [
        [
            f"{large['mib']:,} MiB {way}",
            f"{_number(large['mib'] / seconds[way])} MiB/s",
            f"{_number(large['mib'] / seconds[f's3fs {way}'])} MiB/s",
            f"{seconds[f's3fs {way}'] / seconds[way]:.2f}",
            "0.7",
            _number(large[growth], 1),
        ]
        for way, growth in (("up", "growth_up_mib"), ("down", "growth_mib"))
    ]
    ours, theirs = small["seconds"]["ours"], small["seconds"]["s3fs"]
    rows.append(
        [
            f"push of {small['files']:,} files of {small['bytes']:,} bytes",
            f"{_number(small['files'] / ours)} files/s",
            f"{_number(small['files'] / theirs)} files/s",
            f"{theirs / ours:.2f}",
            "0.8",
            NONE,
        ]
    )
    head = ["", "ours", "s3fs alone", "ratio", "bar", "growth of the server so far, MiB"]
    return [("artifacts on a real S3 server", _table([head, *rows]))]


def _releases(figures):
    head = [
        "operation", "before/s", "now/s", "kept", "bar", "CPU µs before", "now", "ratio",
        "database CPU µs before", "now ", "both, ratio",
    ]  # fmt: skip
    return [
        (
            f"{kind}: this checkout against the one before",
            _table([head, *(_since(name, row) for name, row in table.items())]),
        )
        for kind, table in figures.items()
    ]


def _since(name, row):
    server, database = (
        [row[f"{when} {what}"] for when in ("before", "now")] for what in ("cpu_us", "database")
    )
    has_database = database[0] > 0
    both = [sum(each) for each in zip(server, database, strict=True)]
    return [
        name,
        *(_number(row[f"{when} per second"]) for when in ("before", "now")),
        f"{row['kept']:.2f}",
        f"{row['keep']:.2f}",
        *(_number(each) for each in server),
        f"{server[1] / server[0]:.3f}",
        *(_number(each if has_database else None) for each in database),
        f"{both[1] / both[0]:.3f}" if has_database else NONE,
    ]


_TABLES = {
    "releases": _releases,
    "artifacts": _artifacts,
    "compare": _compare,
    "growth": _growth,
    "contention": _contention,
    "footprint": _footprint,
    "buckets": _buckets,
    "bucket growth": _bucket_growth,
}


def _number(value, digits=None):
    if value is None or value == {}:
        return NONE
    if digits is None:
        digits = 0 if value >= 100 or value == int(value) else 1
    return f"{value:,.{digits}f}"


def _table(rows):
    """Markdown, aligned so that it can be read as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    kept = [at for at in range(len(widths)) if any(row[at] != NONE for row in rows[1:])]
    lines = [
        "| "
        + " | ".join(
            row[at].ljust(widths[at]) if at == 0 else row[at].rjust(widths[at]) for at in kept
        )
        + " |"
        for row in rows
    ]
    rule = (
        "| "
        + " | ".join("-" * widths[at] if at == 0 else "-" * (widths[at] - 1) + ":" for at in kept)
        + " |"
    )
    return "\n".join([lines[0], rule, *lines[1:]])
