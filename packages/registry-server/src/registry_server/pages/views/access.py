"""The page of who its reader is and what the reader may do, and why."""

from __future__ import annotations

import attrs

from registry_core import Registry, Stage
from registry_core.access import Decision, Permission, Rights
from registry_core.access.policy import encode_grant
from registry_core.errors import RegistryError
from registry_core.permissions import STAGE_PREFIX
from registry_core.validation import alias as alias_name
from registry_core.validation import model_name
from registry_core.wire import Json
from registry_server.pages.answers import View
from registry_server.pages.requests import PageRequest

STAGES = frozenset(stage.value for stage in Stage)


@attrs.frozen(kw_only=True)
class Question:
    """What the reader asks about: as it stands in the address."""

    permission: str = ""
    model: str = ""
    alias: str = ""

    @classmethod
    def of(cls, request: PageRequest) -> Question:
        """Return the question of a request, which may be empty."""
        fields = {name: request.query.get(name, "").strip() for name in attrs.fields_dict(cls)}
        return cls(**fields)

    def decided(self, rights: Rights) -> Decision | None:
        """Return whether the reader may do it; None where nothing is asked.

        A model that the reader may not read is answered alike, whether it exists or not: nothing of
        it is looked up, and protections of its aliases are not named.

        Raises:
            InvalidArgumentError: It names a model or an alias that there cannot be.
        """
        if not self.permission:
            return None
        permission = Permission(self.permission)
        model = model_name(self.model) if self.model else None
        if model is None or permission is not Permission.MOVE_ALIAS or not self.alias:
            return rights.decide(permission, model)
        if not rights.may_read(model):
            return rights.decide(permission, model)
        return rights.decide(permission, model, self._moved())

    def _moved(self) -> str:
        """The alias, or the stage as policies write it."""
        stage = self.alias.removeprefix(STAGE_PREFIX)
        return STAGE_PREFIX + stage if stage in STAGES else alias_name(self.alias)


def show(request: PageRequest, registry: Registry) -> View:  # noqa: ARG001 as all views
    """Show who the reader is, the grants of the reader, and one decision that was asked for."""
    rights = request.rights
    question = Question.of(request)
    decision, problem = _answer(question, rights)
    return View(
        template="access.html",
        context={
            "rights": rights,
            "question": question,
            "decision": decision,
            "question_problem": problem,
            "permissions": [each.value for each in Permission],
        },
        data=lambda: _data(request, rights, decision),
    )


def _answer(question: Question, rights: Rights | None) -> tuple[Decision | None, str]:
    """The decision, and why there is none where the question cannot be understood."""
    if rights is None:
        return None, ""
    if question.permission and question.permission not in set(Permission):
        return None, f"There is no permission '{question.permission[:60]}'."
    try:
        return question.decided(rights), ""
    except RegistryError as error:
        return None, str(error)


def _data(request: PageRequest, rights: Rights | None, decision: Decision | None) -> Json:
    return {
        "name": request.user,
        "groups": [] if rights is None else sorted(rights.principal.groups),
        "is_restricted": rights is not None,
        "grants": [] if rights is None else [encode_grant(each) for each in rights.grants],
        "decision": decision and {"is_allowed": decision.allowed, "reason": decision.told},
    }
