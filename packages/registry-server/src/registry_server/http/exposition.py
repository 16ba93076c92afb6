"""Prometheus's text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@attrs.frozen
class Sample:
    """One number of a family."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""
    """What the name of a histogram's numbers has behind that of the family."""


@attrs.frozen
class Family:
    """The numbers of one name."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def text(families: Iterable[Family]) -> str:
    """Return the families in the order given; those without a number are left out."""
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += [
                f"# HELP {family.name} {family.help}",
                f"# TYPE {family.name} {family.kind}",
                *(_line(family.name, sample) for sample in family.samples),
            ]
    return "\n".join(lines) + "\n"


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{label}="{_escaped(value)}"' for label, value in sample.labels.items())
    value = sample.value
    number = str(value) if isinstance(value, int) else f"{value:.9f}"
    return (
        f"{name}{sample.suffix}{{{labels}}} {number}"
        if labels
        else f"{name}{sample.suffix} {number}"
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
