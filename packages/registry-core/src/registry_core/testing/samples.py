"""Legal values that have broken stores: quotes, wildcards, escapes, Unicode, lengths.

No two values of a tuple are equal, but many are once something folds case, normalises, trims,
escapes or cuts off.
"""

from __future__ import annotations

from registry_core import validation

EMOJI = "\U0001f600"
"""Four bytes in UTF-8, two units in UTF-16, one character."""

_NAME = validation.NAME_MAX_LENGTH
_KEY = validation.TAG_KEY_MAX_LENGTH
_ALIAS = validation.ALIAS_MAX_LENGTH
_VALUE = validation.TAG_VALUE_MAX_LENGTH

NAMES = (
    "plain",
    "Plain",
    "PLAIN",
    " plain",
    "plain ",
    "pl ain",
    "pl%ain",
    "pl_ain",
    "pl%25ain",
    "pl%2Fain",
    "pl%2fain",
    "pl+ain",
    "pl\\ain",
    "pl\\%ain",
    "pl'ain",
    "pl''ain",
    'pl"ain',
    "pl`ain",
    "pl;--ain",
    "pl?ain#x=1&y",
    "pl*[a]{b}$(c)",
    "<b>pl&amp;ain<br>",
    "pl\tain",
    "pl\nain",
    "pl\r\nain",
    "pl\x01\x1b\x7fain",
    "pl..ain",
    "plain.",
    ".plain",
    "plain.json",
    "plain.json.json",
    "~plain",
    "-plain",
    "@plain@latest",
    "m-0123456789abcdef0123456789abcdef",
    "0",
    "-1",
    "null",
    "None",
    "true",
    "CON",
    "\u00e9",
    "e\u0301",
    "\u00c9",
    "stra\u00dfe",
    "strasse",
    "STRASSE",
    "\u0130",
    "i\u0307",
    "\u65e5\u672c\u8a9e",
    EMOJI,
    "\u200b",
    "\ufeffplain",
    "\u202eplain",
    "\uffff",
    "\U0010ffff",
    "x" * _NAME,
    "x" * (_NAME - 1) + "y",
    "x" * (_NAME - 1),
    EMOJI * _NAME,
    EMOJI * (_NAME - 1) + "y",
    "%" * _NAME,
)
"""Names of registered models."""

TAG_KEYS = (
    "key",
    "Key",
    "KEY",
    " key",
    "key ",
    "k ey",
    "k.ey",
    "k-ey",
    "k_ey",
    "k/ey",
    "k:ey",
    "k::ey",
    "0",
    "name",
    "version",
    "\u00e9",
    "e",
    "\u65e5\u672c\u8a9e",
    "x" * _KEY,
    "x" * (_KEY - 1) + "y",
    "\u00e9" * _KEY,
)
"""Keys of tags."""

TAG_VALUES = (
    "",
    " ",
    "value",
    "Value",
    "value ",
    "va'lue",
    'va"lue',
    "va\\lue",
    "va%lue",
    "va_lue",
    "va\nlue",
    "\\",
    "null",
    "true",
    "0",
    '{"a": [1, "b"]}',
    "\u00e9",
    "e\u0301",
    EMOJI,
    "x" * _VALUE,
    "x" * (_VALUE - 1) + "y",
    EMOJI * _VALUE,
)
"""Values of tags."""

ALIASES = (
    "champion",
    "Champion",
    "CHAMPION",
    "cham-pion",
    "cham_pion",
    "-",
    "_",
    "1",
    "007",
    "v",
    "v1a",
    "\u00e9",
    "e",
    "\u65e5\u672c\u8a9e",
    "x" * _ALIAS,
    "x" * (_ALIAS - 1) + "y",
    "\u00e9" * _ALIAS,
)
"""Aliases."""
