"""Rules for the English of this project, beside those of proselint that it takes.

The user or the server is the subject, verbs are in the imperative or the active voice, and a sentence
has one idea. A rule here names a turn of phrase that hides who does what, and what to write instead.
"""

from proselint.registry.checks import Check, types

THEIRS = (
    "archaism",
    "cliches",
    "lexical_illusions",
    "malapropisms",
    "mixed_metaphors",
    "mondegreens",
    "nonwords",
    "oxymorons",
    "uncomparables",
)
"""The checks of proselint that suit a reference: no opinion on style, only on mistakes."""


def _rule(name, message, *phrases, exceptions=()):
    """A check that finds phrases, also where a line ends in one; both are regular expressions."""
    items, allowed = (
        tuple(phrase.replace(" ", r"\s+") for phrase in each) for each in (phrases, exceptions)
    )
    return Check(
        check_type=types.Existence(items=items, exceptions=allowed),
        path=f"registry.{name}",
        message=f"'{{}}': {message}",
    )


RULES = (
    _rule(
        "told",
        "say who tells or shows it: 'the error names', 'the server answers'",
        "am told",
        "is told",
        "are told",
        "be told",
        "was told",
        "were told",
        "being told",
        "not told",
        "told nothing",
        "told of",
        "tells? of",
    ),
    _rule(
        "whoever",
        "name the reader or the caller: 'you', 'anybody who', 'the client'",
        "whoever",
        "whosoever",
    ),
    # "There is no model" is plain English; "this is no model" is not.
    _rule(
        "is no",
        "write 'is not a'",
        "(there )?is no [a-z]+",
        exceptions=("there is no [a-z]+", "is no longer", "is no more", "is no other"),
    ),
    _rule(
        "there is none",
        "name what is missing",
        "that there is none of",
        "if there is none",
        "where there is none",
    ),
    _rule("in words", "drop it", "in words", "so to speak", "as it were"),
    _rule(
        "what a further", "say 'another' or 'each additional'", "what a further", "a further one"
    ),
    _rule(
        "come and go",
        "say 'upload', 'download' or 'delete'",
        "bytes come",
        "bytes go",
        "bytes stay",
        "come and go",
    ),
    _rule("tells", "say 'shows', 'reports' or 'names'", "tells what is so", "then tells"),
    _rule("taken for", "say 'treats as'", "is taken for", "are taken for"),
    _rule("be so kind", "drop it", "please note", "note that", "it should be noted"),
)
