"""Prompts: what their templates need, and what other clients may have left in their tags."""

from __future__ import annotations

import pytest

from registry_core import InvalidArgumentError, Registry, StoreCorruptedError
from registry_core.prompts import SOURCE, TYPE_TAG
from registry_core.stores.memory import MemoryStore
from registry_core.validation import PROMPT_TAG, PROMPT_TEXT_TAG


@pytest.fixture
def registry() -> Registry:
    """A registry with a prompt `g` that has one version."""
    registry = Registry(MemoryStore())
    registry.prompts.create("g", "Hello {{ who }},\n{{\nwhat\t}}!")
    return registry


def test_variables_are_those_that_are_filled_in_wherever_a_line_ends(registry: Registry) -> None:
    text = registry.prompts.get_version("g", 1)
    assert text.variables == {"who", "what"}
    assert text.format(who="Ann", what="bye") == "Hello Ann,\nbye!"
    chat = [{"role": "user", "content": "{{\nq}}", "{{key}}": 1}, {"parts": [{"text": "{{t}}"}]}]
    made = registry.prompts.create("g", chat, exist_ok=True)
    assert made.variables == {"q", "t"}
    assert made.format(q=1, t=2)[1] == {"parts": [{"text": "2"}]}
    with pytest.raises(InvalidArgumentError, match="needs values of: q, t"):
        made.format()


@pytest.mark.parametrize("text", ["5", "[1]", "{}", "null", "[" * 50_000, "no JSON"])
def test_a_chat_that_is_none_is_refused_by_its_tag(registry: Registry, text: str) -> None:
    tags = {PROMPT_TAG: "true", PROMPT_TEXT_TAG: text, TYPE_TAG: "chat"}
    registry.create_model_version("g", source=SOURCE, tags=tags)
    with pytest.raises(StoreCorruptedError, match=f"'{PROMPT_TEXT_TAG}' of models:/g/2 is not "):
        registry.prompts.get_version("g", 2)
