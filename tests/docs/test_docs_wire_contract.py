"""`docs/reference/wire-contract.md` has every section that sources and tests name as "contract N.N"."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "wire-contract.md").read_text()
DEVIATIONS = (ROOT / "docs" / "reference" / "deviations.md").read_text()

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_NUMBER = re.compile(r"(\d+\.\d+, \d+|\d+(?:\.\d+)?)\.? ")
_SECTION = r"\d+(?:\.\d+)?"
_REFERENCE = re.compile(
    rf"\bcontract\s+({_SECTION}(?:(?:\s*,\s*(?:and\s+)?|\s+(?:and|to)\s+){_SECTION}\b)*)",
    re.IGNORECASE,
)

HEADINGS = _HEADING.findall(_FENCE.sub("", PAGE))
SECTIONS = {found.group(1) for heading in HEADINGS if (found := _NUMBER.match(heading))}


def references(text):
    """The sections that a text names: `1.4` and `3` of "contract 1.4 and 3"."""
    return {
        section
        for found in _REFERENCE.finditer(text)
        for section in re.findall(_SECTION, found.group(1))
    }


def sources():
    """Every module of the packages and the tests, but for this one, which makes references up."""
    found = [path for folder in ("packages", "tests") for path in ROOT.glob(f"{folder}/**/*.py")]
    return sorted(set(found) - {Path(__file__)})


def unknown(sections):
    """The sections that the code names and that are not among these, each with its file."""
    return [
        f"{path.relative_to(ROOT)}: {section}"
        for path, named in NAMED.items()
        for section in sorted(named - sections)
    ]


NAMED = {path: references(path.read_text()) for path in sources()}


def slug(heading):
    """The anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_section_that_the_code_names_is_there():
    """A reader of "contract 3.7" finds section 3.7."""
    assert not unknown(SECTIONS)


def test_references_are_found_in_every_form():
    """Alone, in a list, as a range, over a line's end, and at the start of a sentence."""
    assert references("as MLflow does (contract 3.7).") == {"3.7"}
    assert references("Contract 6.2, the rule on PATCH.") == {"6.2"}
    assert references("contract 2.10 to 2.12, 3.8") == {"2.10", "2.12", "3.8"}
    assert references("contract 1.4 and 3, and contract\n    5") == {"1.4", "3", "5"}


def test_a_section_that_goes_missing_is_noticed():
    """Each section that the code names, taken from the page, is reported."""
    named = set().union(*NAMED.values())
    assert len(named) > 1
    for section in named:
        assert unknown(SECTIONS - {section})


def test_every_link_within_the_page_leads_to_a_heading():
    """A section is linked by its number."""
    links = dict(re.findall(r"^\[([^\]]+)\]: #(.+)$", PAGE, re.MULTILINE))
    used = set(re.findall(rf"\[({_SECTION})\](?!:)", PAGE))
    anchors = {slug(heading): heading for heading in HEADINGS}
    assert used <= set(links)
    assert all(anchors[anchor].startswith(name) for name, anchor in links.items())


def test_page_marks_every_listed_deviation_and_no_other():
    """A mark such as `D-lengths` is the id of a row, and stands at the rule that the row changes."""
    listed = re.findall(r"^\| `(D-[\w-]+)` \|", DEVIATIONS, re.MULTILINE)
    assert set(re.findall(r"`(D-[\w-]+)`", PAGE)) == set(listed)
