"""Strategies for texts of the search language, right and wrong."""

from __future__ import annotations

from hypothesis import strategies as st

from registry_core.search import AttributeRef, Comparison, Entity, Op, TagRef
from registry_core.search.fields import FIELDS, TAG_OPS

FRAGMENTS = st.sampled_from(
    [
        *("name", "run_id", "version_number", "tags.a", "tags.`a b`", "attribute.name", "x.y"),
        *(" ", "\n", " AND ", " IN ", " NOT ", " LIKE ", " IS NULL", "=", "!=", "<", "- "),
        *("'a'", '"b"', "'it''s'", r"'\'", "3", "-1.5", "1e9", "`", "'", '"', "\\", "(", ")"),
        *("('a')", "('a', \"b\",)", "()", "(1)", ",", ";", ".", "\x00", "\ud800", "é", "%"),
    ]
)
"""Pieces that make filters, and everything that nearly is one."""

_PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\x00'\"\\`"), max_size=8)
_ANY = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@st.composite
def comparisons(draw: st.DrawFn, entity: Entity) -> Comparison:
    """A comparison that the entity allows, with a value that any quotes can hold."""
    attributes = FIELDS[entity].attributes.values()
    attribute = draw(st.sampled_from([*attributes, None]))
    operand = AttributeRef(attribute.field) if attribute else TagRef(draw(_PLAIN))
    allowed = attribute.ops if attribute else TAG_OPS
    op = draw(st.sampled_from(sorted(allowed, key=lambda op: op.value)))
    if attribute and attribute.is_number:
        return Comparison(operand, op, draw(st.integers(0, 2**31 - 1)))
    if op in (Op.IN, Op.NOT_IN):
        return Comparison(operand, op, tuple(draw(st.lists(_ANY, min_size=1, max_size=4))))
    return Comparison(operand, op, draw(_PLAIN))
