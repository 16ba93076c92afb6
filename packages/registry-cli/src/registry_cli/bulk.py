"""Commands about several versions: `versions diff`, and tags of all that match a filter."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

import click

import registry_core
from registry_cli.completion import complete_version
from registry_cli.examples import example
from registry_cli.options import shows_results, split_version
from registry_cli.output import notice
from registry_cli.session import PAGE_SIZE, Session, pass_session
from registry_core.models import ModelVersion


@click.command(epilog=example("regctl versions diff churn@champion churn@challenger"))
@click.argument(
    "words", metavar="VERSION VERSION", nargs=-1, required=True, shell_complete=complete_version
)
@shows_results
@pass_session
def diff(session: Session, words: tuple[str, ...]) -> None:
    """Show how two model versions differ.

    Each is written NAME VERSION, NAME/VERSION, NAME@ALIAS or as a models:/
    URI; the second may be of another model. Tags are compared one by one.
    """
    one, rest = split_version(words)
    if not rest:
        raise click.UsageError("Which is the other version? Write two of them.")
    other, more = split_version(rest)
    if more:
        raise click.UsageError(f"Got an unexpected argument '{more[0]}'.")
    registry = session.registry
    first, second = (registry.get_model_version(*each.key(registry)) for each in (one, other))
    rows = list(_differences(first, second))
    session.output.records(
        "differences",
        ("field", "first", "second"),
        ({"field": field, "first": left, "second": right} for field, left, right in rows),
        summary={"first": _uri(first), "second": _uri(second), "differences": len(rows)},
    )


def tag_matching(
    session: Session, filter_text: str, tags: Sequence[tuple[str, str]], *, dry_run: bool
) -> None:
    """Set tags of all versions that match a filter, and say of how many."""
    registry = session.registry
    # All of them first: a tag may change what matches.
    versions = list(registry.iter_model_versions(filter_text, page_size=PAGE_SIZE))
    count = 0
    for version in versions if not dry_run else ():
        try:
            for key, value in tags:
                registry.set_model_version_tag(version.name, version.version, key, value)
            count += 1
        except registry_core.NotFoundError:
            notice(f"{_uri(version)} was deleted meanwhile.")
    if dry_run:
        session.output.versions(versions)
    set_tags = ", ".join(f"{key}={value}" for key, value in tags)
    said = f"Would set {set_tags} of {len(versions)}" if dry_run else f"Set {set_tags} of {count}"
    notice(f"{said} model version{'' if (len(versions) if dry_run else count) == 1 else 's'}.")


def _differences(
    first: ModelVersion, second: ModelVersion
) -> Iterator[tuple[str, str | None, str | None]]:
    # Help shows no result, and need not pay for the table of fields.
    from registry_cli.views import shown_fields  # noqa: PLC0415 see above

    left, right = shown_fields(first), shown_fields(second)
    for field in left:
        if field not in ("tags", "aliases") and left[field] != right[field]:
            yield field, left[field] or None, right[field] or None
    for key in sorted(first.tags.keys() | second.tags.keys()):
        before, after = first.tags.get(key), second.tags.get(key)
        if before != after:
            yield f"tag '{key}'", before, after
    if first.aliases != second.aliases:
        yield "aliases", left["aliases"] or None, right["aliases"] or None


def _uri(version: ModelVersion) -> str:
    return f"models:/{version.name}/{version.version}"


def text_diff(first: str, second: str, names: tuple[str, str]) -> list[str]:
    """Two texts compared, as `diff -u` has it."""
    lines = difflib.unified_diff(first.splitlines(), second.splitlines(), *names, lineterm="", n=3)
    return list(lines)
