"""What a version is that has no manifest: a digest of the fields that say what it stands for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from registry_core.history import CHANGERS, Action, Event, author_of
from registry_core.models import DIGEST_TAG, ModelVersion

_CONTENT_TAGS = (DIGEST_TAG, "mlflow.prompt.", "_mlflow_prompt_")
"""What the keys of tags begin with that are part of what a version is: the digest of its bytes, and
of a prompt its text and how it is used."""


def is_content(key: str) -> bool:
    """Return whether a tag is part of what its version is."""
    return key.startswith(_CONTENT_TAGS)


def identity(version: ModelVersion) -> str:
    """Return the digest of where a version's bytes are, where it is from, and what its tags hold.

    It changes with the source, the run, the logged model and the text of a prompt. Of bytes that
    change where they are it knows nothing.
    """
    content = [
        version.source,
        version.storage_location,
        version.run_id or None,
        version.model_id or None,
        sorted((key, value) for key, value in version.tags.items() if is_content(key)),
    ]
    said = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f"fields:{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()}"


MAKING = frozenset(
    {
        Action.CREATE_VERSION,
        Action.RELOCATE_VERSION,
        Action.SET_VERSION_TAG,
        Action.DELETE_VERSION_TAG,
    }
)
"""What may make a version what it is."""


def makers_of(event: Event) -> Iterator[str]:
    """Yield who has made a version what it is by an event of it: nobody by most."""
    if event.action is Action.CREATE_VERSION:
        author = author_of(event)
        yield from () if author is None else (author,)
        changers = event.after.get(CHANGERS) if isinstance(event.after, Mapping) else None
        yield from changers if isinstance(changers, list) else ()
    elif event.action is Action.RELOCATE_VERSION or (
        event.action in MAKING and is_content(event.key or "")
    ):
        yield event.actor
