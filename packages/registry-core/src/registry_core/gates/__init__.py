"""Gates: what must hold before an alias or a stage may point at a model version.

A gate is a rule about aliases and stages of some models. Nothing moves them but a change, and every
change that a gate is about gets one more requirement, which the store looks at in the same atomic
step as it makes the change: see `requirement`. What may be known beforehand, because it never
changes while the version stays as it is, is looked up before; see `registry_core.gating`.

Strategy: a gate is about moves. What a version lacks later on, when an alias points at it already,
moves nothing back.
"""

from registry_core.gates.identity import identity
from registry_core.gates.requirement import Becomes, GateInputsChangedError, GatesPass
from registry_core.gates.rules import Facts, Gate, Pointing, Verdict, evaluate, protected
from registry_core.gates.tables import load_gates, parse_gates

__all__ = [
    "Becomes",
    "Facts",
    "Gate",
    "GateInputsChangedError",
    "GatesPass",
    "Pointing",
    "Verdict",
    "evaluate",
    "identity",
    "load_gates",
    "parse_gates",
    "protected",
]
