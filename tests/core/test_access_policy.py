"""The access file: what it says, and how it says what is wrong with it."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.access import (
    ROLES,
    AccessFileError,
    Grant,
    Permission,
    Policy,
    Principal,
    load,
    parse,
)
from registry_core.name_scope import NameScope

ANN = Principal(name="ann", groups=frozenset({"fraud"}))
BOB = Principal(name="bob")
TOKEN = "sha256:" + "ab" * 32

FILE = b"""
[user.ann]
groups = ["fraud"]
tokens = ["sha256:abababababababababababababababababababababababababababababababab"]

[role.promoter]
permissions = ["move-alias"]

[[grant]]                       # line 9
groups = ["fraud"]
role = "writer"
models = ["fraud-*", "shared?"]

[[grant]]
users = ["*"]
role = "reader"
models = ["public-*"]

[[grant]]
users = ["bob"]
role = "promoter"
models = ["fraud-*"]
aliases = ["champion"]

[[protect]]                     # line 25
models = ["fraud-*"]
aliases = ["champion", "prod-*"]
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse(FILE).policy


@pytest.mark.parametrize(
    ("who", "permission", "model", "alias", "allowed"),
    [
        (ANN, Permission.READ, "fraud-net", None, True),
        (ANN, Permission.READ, "shared1", None, True),
        (ANN, Permission.READ, "shared12", None, False),
        (ANN, Permission.READ, "public-a", None, True),
        (ANN, Permission.EDIT, "public-a", None, False),
        (ANN, Permission.DELETE, "fraud-net", None, False),
        (ANN, Permission.MOVE_ALIAS, "fraud-net", "challenger", True),
        (ANN, Permission.MOVE_ALIAS, "fraud-net", "champion", False),
        (ANN, Permission.MOVE_ALIAS, "fraud-net", "prod-eu", False),
        (ANN, Permission.MOVE_ALIAS, "shared1", "champion", True),
        (ANN, Permission.WEBHOOKS, None, None, False),
        (BOB, Permission.MOVE_ALIAS, "fraud-net", "champion", True),
        (BOB, Permission.MOVE_ALIAS, "fraud-net", "challenger", False),
        (BOB, Permission.READ, "fraud-net", None, True),
        (BOB, Permission.READ, "shared1", None, False),
        (Principal(name="eve"), Permission.READ, "Public-a", None, False),
    ],
)
def test_grants_decide(policy, who, permission, model, alias, allowed):  # noqa: PLR0917 a table
    decision = policy.decide(who, permission, model, alias)
    assert decision.allowed is allowed
    assert (decision.grant is not None) is allowed


def test_a_decision_names_the_line_that_decides(policy):
    assert "line 9: [[grant]] writer" in policy.decide(ANN, Permission.EDIT, "fraud-net").reason
    refused = policy.decide(ANN, Permission.MOVE_ALIAS, "fraud-net", "champion").reason
    assert "protected by line 25: [[protect]]" in refused
    assert "may be read, by line 9" in policy.decide(ANN, Permission.DELETE, "fraud-net").reason


def test_names_that_look_like_headers_in_long_texts_do_not_move_lines():
    text = b'[user.a]\ngroups = ["""\n[[grant]]\n"""]\n[[grant]]\nusers = ["a"]\nrole = "reader"\n'
    with pytest.raises(AccessFileError, match="control character"):
        parse(text)
    fine = b'# """\n[[grant]]\nusers = ["a"]\nrole = "reader"\n'
    assert parse(fine).policy.grants[0].place in ("line 2", "number 1")


BROKEN = {
    "grants = 1": "the file: 'grants' is not known here; known are user, issuer",
    "[[grant]]\nusers = ['a']": "(line 1): 'role' or 'permissions'",
    "[[grant]]\nrole = 'reader'": "'users' or 'groups'",
    "[[grant]]\nusers = 'a'\nrole = 'reader'": "must be a list, as in",
    "[[grant]]\nusers = ['a']\nrole = 'owner'": "'role' must be one of reader, writer, admin",
    "[[grant]]\nusers = ['a']\npermissions = ['fly']": "'permissions' has 'fly'; known are read",
    "[[grant]]\nusers = ['a']\nrole = 'reader'\nmodel = ['x']": "'model' is not known here",
    "[[grant]]\nusers = ['a*']\nrole = 'reader'": "has a pattern",
    "[[grant]]\nusers = []\nrole = 'reader'": "'users' is empty",
    "[[grant]]\nusers = ['a']\nrole = 'reader'\naliases = ['x']": "mean nothing without",
    "[[grant]]\nusers = ['a']\npermissions = ['webhooks']\nmodels = ['x']": "hear of every model",
    "[[protect]]\nmodels = ['x']": "'aliases' is missing",
    "[role.reader]\npermissions = ['read']": "known already",
    "[user.'a:b']\ngroups = ['x']": "no colon",
    "[user.a]\ntokens = ['hunter2']": "registry-server hash",
    "[user.a]\ntokens = [{ hash = 'sha256:00' }]": "registry-server hash",
    f"[user.a]\ntokens = [{{ hash = '{TOKEN}', expires = 2027-01-31T12:00:00 }}]": "time zone",
    f"[user.a]\npasswords = ['{TOKEN}']": "scrypt",
    "[issuer.x]\nissuer = 'http://example.com'\naudience = 'r'": "must be an https URL",
    "[issuer.x]\nissuer = 'https://e.com'": "'audience' is missing",
    "[issuer.x]\nissuer = 'https://e.com'\naudience = 'r'\nalgorithms = ['HS256']": "allowed are RS",
    "[issuer.x]\nissuer = 'https://e.com'\naudience = 'r'\nalgorithms = ['none']": "allowed are RS",
    "a = ": "is not TOML",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_is_named(text):
    with pytest.raises(AccessFileError, match=re.escape(BROKEN[text])) as caught:
        parse(text.encode(), name="rules.toml")
    assert str(caught.value).startswith("rules.toml: ")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(AccessFileError, match=r"absent\.toml cannot be read"):
        load(tmp_path / "absent.toml")


def test_the_example_of_the_page_is_a_file():
    page = (Path(__file__).parents[2] / "docs/guides/access.md").read_text(encoding="utf-8")
    example = page.partition("<!-- example -->\n```toml\n")[2].partition("```")[0]
    found = parse(example.encode())
    assert found.policy.decide(
        Principal(name="company:eve", groups=frozenset({"company:release"})),
        Permission.MOVE_ALIAS,
        "fraud-net",
        "champion",
    ).allowed
    table = re.findall(r"^\| `([a-z-]+)` \|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", page, re.MULTILINE)
    allowed = {name: tuple("✓" in each for each in marks) for name, *marks in table}
    assert allowed == {
        each: tuple(each in ROLES[role] for role in ("reader", "writer", "admin"))
        for each in Permission
    }


NAMES = st.text("ab*?[!-]%_\\.\n", max_size=6)


@given(st.lists(NAMES, max_size=5), NAMES)
def test_a_scope_has_what_its_patterns_match(patterns, name):
    expected = any(fnmatchcase(name, each.replace("[", "[[]")) for each in patterns)
    assert (name in NameScope.of(patterns)) is expected
    policy = Policy(
        grants=tuple(
            Grant(users=frozenset({"a"}), permissions=frozenset({Permission.READ}), models=(each,))
            for each in patterns
        )
    )
    rights = policy.rights(Principal(name="a"))
    assert rights.may_read(name) is expected
    assert (name in rights.readable if rights.readable is not None else True) is expected


def test_ten_thousand_grants_are_found_at_once():
    """White box: the decision looks at no grant of others, and at few of the caller's."""
    grants = tuple(
        Grant(
            users=frozenset({f"user{number % 5000}"}),
            permissions=frozenset({Permission.READ}),
            models=(f"team{number}-*", f"model{number}"),
        )
        for number in range(10_000)
    )
    rights = Policy(grants=grants).rights(Principal(name="user7"))
    assert [each.models[0] for each in rights.grants] == ["team7-*", "team5007-*"]
    assert rights.may_read("team5007-x")
    assert not rights.may_read("team8-x")


@pytest.mark.parametrize(
    ("granted", "kept", "is_all"),
    [
        ("prod-*", "prod-*", True),
        ("*", "prod-*", True),
        ("p*", "prod-??", True),
        ("prod-?", "prod-*", False),
        ("prod-?*", "prod-*", False),
        ("??????", "prod-*", False),
        ("prod-eu", "prod-*", False),
        ("prod-?", "prod-?", True),
        ("champion", "champion", True),
    ],
)
def test_all_protected_aliases_are_moved_by_a_pattern_that_has_them_all(
    granted: str, kept: str, *, is_all: bool
) -> None:
    text = f"""
    [[grant]]
    users = ["bob"]
    permissions = ["move-alias"]
    aliases = ["{granted}"]
    [[protect]]
    aliases = ["{kept}"]
    """
    rights = parse(text.encode()).policy.rights(BOB)
    assert (rights.may_move_all("m") is None) is is_all


@pytest.mark.parametrize(
    ("aliases", "may"),
    [
        (["prod*"], True),
        (["*"], True),
        (["p*d*"], True),
        (["prod"], False),
        (["prod-*"], False),
        (["prod", "prod-*"], False),
        # Each end is that of a pattern, and what lies between is not.
        (["prod", "prod??????????*"], False),
    ],
)
def test_all_aliases_may_be_moved_by_who_may_move_each_of_them(aliases, may):
    text = (
        "[[protect]]\naliases = ['prod*']\n"
        "[[grant]]\nusers = ['ann']\nrole = 'writer'\n"
        f"[[grant]]\nusers = ['ann']\npermissions = ['move-alias']\naliases = {aliases}\n"
    )
    rights = parse(text.encode()).policy.rights(ANN)
    assert (rights.may_move_all("m") is None) is may
