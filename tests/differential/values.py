"""Generated values of fields: legal ones, illegal ones and hostile ones."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

from differential.filters import TAG_KEYS, TAG_VALUES
from registry_core.validation import TAGS_MAX_COUNT

HOSTILE_NAMES = (
    "@@ x", " @@", "@@ ", "@@'q'", '@@"d"', "@@`b`", "@@%", "@@_", "@@\\", "@@é", "@@É", "@@模型",
    "@@\U0001f680", "@@.", "@@..b", "@@?x=1&y", "@@#f", "@@;", "@@--", "@@\t", "@@\n", "@@@a",
    "@@,b", "@@(1)", "@@*", "@@+", "@@%2F", "@@%00", "@@\u202e", "@@e\u0301", "@@" + "n" * 240,
)  # fmt: skip
"""Legal, every one of them."""

BAD_NAMES = ("", " ", "\t", ".", "..", "...", "..@@", "@@/b", "@@:b", "/", "a/../@@", "./@@", "@@/")
LONG_NAMES = ("@@" + "n" * 255, "@@" + "n" * 1000)

MANY_TAGS = [{"key": f"k{number}", "value": "v"} for number in range(TAGS_MAX_COUNT + 1)]
"""One more than a model or a version may have."""

BAD_VERSIONS = ("0", "-1", "99", "x", "", "1.0", "1e0", "latest", "None", "9" * 25, "2147483648")
ODD_VERSIONS = (" 1 ", "+1", "01", "1_0", "\u0661", "1\n")

ALIASES = ("a", "b", "champion", "A", "é", "-", "_", "1", "v", "v1a", "x" * 255)
BAD_ALIASES = (
    "", " ", "a b", "a.b", "a/b", "a@b", "latest", "LATEST", "Latest", "v1", "V22", "x" * 256, "a\n",
    "\U0001f680",
)  # fmt: skip

KEYS = (*TAG_KEYS, "some/key", "a:b", "1", "k" * 250, " k", ".k", "k.")
BAD_KEYS = (
    "",
    "a*b",
    "a//b",
    "/a",
    "a/",
    ".",
    "..",
    "a/../b",
    "./a",
    "k" * 251,
    "a\nb",
    "a\n",
    "k=",
    "'",
)

STAGES = ("None", "Staging", "Production", "Archived", "production", "ARCHIVED", "none", "sTaGiNg")
BAD_STAGES = ("", "Live", " Staging", "Deleted_Internal", "deleted_internal", "Production\n", "1")

RUN_IDS = ("r1", "R1", "r2", "", "0123456789abcdef0123456789abcdef")

SOURCES = (
    "s3://b/p", "s3://b/P", "s3://b/p//q", "s3://b/p/", "gs://b/x y", "s3://b/p?x=1#f", "s3://b/é",
    "dbfs:/x/y", "hf://o/m", "wasbs://c@h/p", "custom://x/y", "s3://b/a%20b", "s3://b/p?x=../y",
)  # fmt: skip
MODEL_SOURCES = (
    "models:/@@a/1", "models:/@@a/2", "models:/@@b/1", "models:/@@a@a", "models:/@@a@champion",
    "models:/@@a/latest", "models:/@@a@latest", "models:/@@a/Production", "models:/@@a/none",
    "models:/@@absent/1", "models:/@@a/99", "models:/@@a@absent",
)  # fmt: skip
BAD_SOURCES = (
    "", " ", "/etc/passwd", "relative/path", "file:///etc/passwd", "./x", "../x", "s3://b",
    "s3://b/", "s3://b/../x", "s3://b/a/../b", "s3://b/./x", "s3://b/%2e%2e/x", "s3://b/%252e%252e/x",
    "s3://b/a%2f..%2fb", "models:/", "models:/@@a", "models:/@@a/1/2", "models://h/@@a/1",
    "models:/@@a/", "models:/@@a@", "MODELS:/@@a/1", "dummy-source", "prompt-template", "runs:/",
    "gs://b?x=1", "s3://b/p\x00", "models:/@@a/0", "models:/@@a/-1", "models:/@@a/+1", "s3:///p",
    "s3://b/..", "s3://b/...", "//h/p", "s3:/p", "s3:p", ":", "c:/x", "c:\\x", " s3://b/p",
    "models:@@a/1", "models:/@@a/Nowhere", "models:/@@a/archived", "models:/%00", "models:/..",
    "models:/%00/1", "models:///@@a/1", "models:@@a/b/c", "s3://b/\x1b[31m", "gs://b/p\n",
)  # fmt: skip
ODD_SOURCES = (
    "http://h/p", "https://h/p", "ftp://h/p", "sftp://h/p", "hdfs://h/p", "abfss://c@h/p", "r2://b/p",
    "mlflow-artifacts:/p", "mlflow-artifacts://h/p", "runs:/r9/m", "models:/m-1234", "file://h/p",
    "hdfs:/p", "viewfs://h/p", "b2://b/p",
)  # fmt: skip
"""What a server with a tracking store of its own must treat otherwise."""

HOSTILE_TEXTS = (
    "'; DROP TABLE registered_models; --", "${jndi:ldap://x}", "{{x}}", "\u202e", "null", "true",
    "<script>", "%s%n", "\r\n", "\ufffd", "\U0001f680" * 10, "a" * 5001, "\u2028", "\x7f", "\x01",
)  # fmt: skip
UNSTORABLE_TEXTS = ("nul\x00", "\x00", "lone\ud800")

WRONG_TYPES: tuple[Any, ...] = (None, 1, 0, 1.5, True, False, [], ["x"], {}, {"x": 1}, "")

TOKENS = (
    "", "abc", "!", "e30=", "bnVsbA==", "W10=", "NQ==", "eyJvZmZzZXQiOiAyfQ==", "eyJvZmZzZXQiOiAwfQ==",
    "eyJvZmZzZXQiOiAtMX0=", "eyJvZmZzZXQiOiAiMSJ9", "eyJhIjogMX0=", "é", "////", "=", "AAAA",
    base64.b64encode(b'{"offset": 1.5}').decode(), base64.b64encode(b'"x"').decode(),
)  # fmt: skip

MAX_RESULTS: tuple[Any, ...] = (1, 1, 2, 2, 3, 5, 10, 1000)
ODD_MAX_RESULTS: tuple[Any, ...] = (
    0, -1, -5, 1001, 200_001, "abc", "", "1.5", "+3", "03", " 3 ", "1e2", "2147483648", "-2147483649",
    "0x3", "true", "9" * 30, " 1", "1_0", "\u0663", True,
)  # fmt: skip


def text(random: Random) -> str:
    """A tag's value or a description."""
    roll = random.random()
    if roll < 0.75:
        return random.choice(TAG_VALUES)
    if roll < 0.98:
        return random.choice(HOSTILE_TEXTS)
    if roll < 0.99:
        return random.choice(("x" * 100_000, "x" * 100_001))
    return random.choice(UNSTORABLE_TEXTS)


def tags(random: Random) -> Any:
    """The tags of something to create."""
    if random.random() < 0.03:
        return random.choice(
            (
                {},
                "x",
                1,
                [1],
                ["x"],
                [{}],
                [{"key": ""}],
                [{"value": "v"}],
                [[]],
                [None],
                {"k": "v"},
            )
        )
    return [tag(random) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))]


def tag(random: Random) -> dict[str, Any]:
    """One tag in a list."""
    key = random.choice(KEYS) if random.random() < 0.95 else random.choice(BAD_KEYS)
    found: dict[str, Any] = {"key": key, "value": text(random)}
    if key == "mlflow.prompt.is_prompt":
        found["value"] = random.choice(("true", "true", "True", "TRUE", "false", "", "yes"))
    roll = random.random()
    if roll < 0.03:
        del found["value"]
    elif roll < 0.05:
        found["value"] = random.choice(WRONG_TYPES)
    elif roll < 0.06:
        found["key"] = random.choice(WRONG_TYPES)
    elif roll < 0.08:
        found["extra"] = 1
    return found


def source(random: Random) -> str:
    """The source of a version."""
    roll = random.random()
    if roll < 0.55:
        return random.choice(SOURCES)
    if roll < 0.8:
        return random.choice(MODEL_SOURCES)
    return random.choice(BAD_SOURCES if roll < 0.97 else ODD_SOURCES)
