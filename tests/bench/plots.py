"""Small pictures of the figures, as SVG."""

import math
from html import escape

_WIDTH, _ROW, _LEFT, _RIGHT = 680, 30, 170, 80
_OURS, _THEIRS, _INK, _FAINT = "#2563a8", "#c77a2b", "#333", "#bbb"


def draw(parts):
    """Name and content of each picture that the parts have figures for."""
    found = {}
    if "compare" in parts:
        for title, table in parts["compare"]["figures"].items():
            kind = title.split(",")[0]
            rows = [(name, row) for name, row in table.items() if "mlflow" in row]
            if rows and f"performance-{kind}.svg" not in found:
                found[f"performance-{kind}.svg"] = _throughput(title, rows)
    if "growth" in parts:
        for kind, figures in parts["growth"]["figures"].items():
            found[f"performance-growth-{kind}.svg"] = _growth(kind, figures["sizes"])
    return found


def _throughput(title, rows):
    """Two bars for each operation, on a scale where ten times as much is one step more."""
    rates = [[row[name]["requests_per_second"] for name in ("ours", "mlflow")] for _, row in rows]
    steps = len(str(int(max(max(pair) for pair in rates))))
    step = (_WIDTH - _LEFT - _RIGHT) / steps
    parts = [_text(10, 20, f"Requests per second: {title} (logarithmic)", size=13)]
    bottom = 40 + _ROW * len(rows)
    for power in range(steps + 1):
        x = _LEFT + power * step
        parts.append(_line(x, 36, x, bottom))
        parts.append(_text(x, bottom + 14, f"{10**power:,}", anchor="middle"))
    for at, ((name, _), pair) in enumerate(zip(rows, rates, strict=True)):
        y = 42 + _ROW * at
        parts.append(_text(_LEFT - 8, y + 14, name, anchor="end"))
        for offset, rate, color in ((0, pair[0], _OURS), (12, pair[1], _THEIRS)):
            width = math.log10(max(1, rate)) * step
            parts.append(
                f'<rect x="{_LEFT}" y="{y + offset}" width="{width:.1f}" height="10" fill="{color}"/>'
            )
            parts.append(_text(_LEFT + width + 5, y + offset + 9, f"{rate:,.0f}", size=10))
    parts.append(_text(_LEFT, bottom + 34, "■ this registry", color=_OURS))
    parts.append(_text(_LEFT + 120, bottom + 34, "■ MLflow 3.17.2", color=_THEIRS))
    return _picture(parts, bottom + 46)


def _growth(kind, table):
    """For each operation, the CPU time of a request on each size, as small bars."""
    sizes = list(next(iter(table.values())))
    largest = max(row[size]["cpu_us"] for row in table.values() for size in sizes)
    scale = (_WIDTH - _LEFT - _RIGHT) / largest
    row_height = 11 * len(sizes) + 6
    title = f"CPU time of the server per request, in microseconds: {kind}"
    parts = [_text(10, 20, title, size=13)]
    for at, (name, row) in enumerate(table.items()):
        y = 36 + row_height * at
        parts.append(_text(_LEFT - 8, y + row_height / 2 + 2, name, anchor="end"))
        for index, size in enumerate(sizes):
            width = row[size]["cpu_us"] * scale
            shade = 0.4 + 0.6 * (index + 1) / len(sizes)
            parts.append(
                f'<rect x="{_LEFT}" y="{y + 11 * index}" width="{width:.1f}" height="9" '
                f'fill="{_OURS}" fill-opacity="{shade:.2f}"/>'
            )
            label = f"{row[size]['cpu_us']:,.0f}"
            parts.append(_text(_LEFT + width + 5, y + 11 * index + 8, label, size=9))
    bottom = 36 + row_height * len(table)
    legend = ", ".join(f"{int(size):,}" for size in sizes)
    parts.append(_text(_LEFT, bottom + 16, f"from light to dark: {legend} models"))
    return _picture(parts, bottom + 28)


def _text(x, y, content, *, anchor="start", size=11, color=_INK):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{color}">{escape(content)}</text>'
    )


def _line(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{_FAINT}"/>'


def _picture(parts, height):
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        f'width="{_WIDTH}" height="{height:.0f}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
