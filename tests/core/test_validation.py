"""What is legal, up to which limit, and in which words the rest is refused (contract 1.4, 3)."""

import json

import pytest

from registry_core import validation
from registry_core.errors import InvalidArgumentError
from registry_core.models import NewModelVersion, NewRegisteredModel, Stage

EMOJI = "\U0001f600"
MISSING = "Missing value for required parameter '{}'."
SEE_DOCS = " See the API docs for more information about request parameters."
AS_FILE = (
    "Invalid value {} for parameter '{}' supplied: Names may be treated as files in certain "
    "cases, and must not resolve to other names when treated as such. This name would resolve "
    "to '{}'"
)
KEY_CHARACTERS = (
    "Invalid value {} for parameter 'key' supplied: Names may only contain alphanumerics, "
    "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
)
TOO_LONG = "'{}' exceeds the maximum length of {} characters"
UNSTORABLE = (
    "Invalid value for parameter '{}' supplied: it contains the character {} at position {}, "
    "which cannot be stored."
)


def refusal(check, *args, **kwargs) -> str:
    """The message with which a value is refused."""
    with pytest.raises(InvalidArgumentError) as raised:
        check(*args, **kwargs)
    return str(raised.value)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        " a ",
        "a..b",
        "a.",
        ".a",
        "a\tb\nc",
        "'\"`\\",
        "%?#*,;@",
        "\u65e5\u672c\u8a9e",
        "e\u0301",
        EMOJI * 256,
        "x" * 256,
    ],
)
def test_model_name_accepts_almost_anything(name):
    """Names are taken as they are: not trimmed, folded or normalised."""
    assert validation.model_name(name) == name


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u3000"])
def test_model_name_refuses_blanks(name):
    """Blank is missing, whatever the parameter is called."""
    assert refusal(validation.model_name, name) == MISSING.format("name")
    assert refusal(validation.model_name, name, parameter="new_name") == MISSING.format("new_name")


@pytest.mark.parametrize("name", ["a/b", "a:b", "/", ":", "models:/a", "../a"])
def test_model_name_refuses_slashes_and_colons(name):
    """They would be read as parts of a `models:/` URI."""
    message = f"Invalid model name '{name}'. Names cannot contain '/' or ':'."
    assert refusal(validation.model_name, name) == message


@pytest.mark.parametrize("name", [".", "..", "...", "..a", "..a.b"])
def test_model_name_refuses_paths(name):
    """A name is its own normal path, and does not lead up."""
    expected = AS_FILE.format(f'"{name}"', "name", name)
    assert refusal(validation.model_name, name) == expected
    assert refusal(validation.model_name, name, parameter="new_name") == expected


def test_model_name_has_a_limit_in_characters():
    """256 of them, however many bytes."""
    assert refusal(validation.model_name, "x" * 257) == TOO_LONG.format("name", 256)
    assert refusal(validation.model_name, EMOJI * 257) == TOO_LONG.format("name", 256)


@pytest.mark.parametrize(
    ("value", "shown", "position"),
    [("a\x00b", "U+0000", 1), ("\ud800", "U+D800", 0), ("\u00e9\udfff", "U+DFFF", 1)],
)
def test_no_text_may_hold_what_cannot_be_stored(value, shown, position):
    """NUL is refused by PostgreSQL, a lone surrogate has no UTF-8."""
    assert refusal(validation.model_name, value) == UNSTORABLE.format("name", shown, position)
    assert refusal(validation.tag_value, value) == UNSTORABLE.format("value", shown, position)
    assert refusal(validation.description, value) == UNSTORABLE.format(
        "description", shown, position
    )
    for field in ("source", "storage_location", "run_id", "run_link", "user_id", "model_id"):
        fields = {"name": "m", "source": "s", field: value}
        assert refusal(NewModelVersion, **fields) == UNSTORABLE.format(field, shown, position)


@pytest.mark.parametrize(
    "key",
    ["a", "a/b", "a:b", "a.b", "a-b", "a_b", "a b", " a ", "a...", "0", "\u00e9\u65e5", "x" * 250],
)
def test_tag_key_accepts_words_and_some_punctuation(key):
    """Unicode letters and digits, and `/_.-: `."""
    assert validation.tag_key(key) == key


@pytest.mark.parametrize("key", ["a%b", "a\nb", "a\n", "a\\b", "a'b", 'a"b', "a@b", EMOJI])
def test_tag_key_refuses_other_characters(key):
    """Quoted as MLflow quotes it; a trailing newline does not slip through."""
    assert refusal(validation.tag_key, key) == KEY_CHARACTERS.format(json.dumps(key))


@pytest.mark.parametrize(
    ("key", "normal"),
    [
        ("", "."),
        (".", "."),
        ("..", ".."),
        ("/a", "/a"),
        ("a/", "a"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a/../b", "b"),
        ("../a", "../a"),
        ("...", "..."),
        ("..a", "..a"),
    ],
)
def test_tag_key_refuses_paths(key, normal):
    """A key is its own normal path, not absolute, and does not lead up."""
    assert refusal(validation.tag_key, key) == AS_FILE.format(f'"{key}"', "key", normal)


def test_tags_have_limits_in_characters():
    """250 for a key and 100,000 for a value, of models and versions alike."""
    assert validation.tag_value(EMOJI * 100_000) == EMOJI * 100_000
    too_long = TOO_LONG.format("value", 100_000)
    assert refusal(validation.tag_key, "x" * 251) == TOO_LONG.format("key", 250)
    assert refusal(validation.tag_value, "x" * 100_001) == too_long
    assert refusal(validation.tags, {"k": "x" * 100_001}) == too_long
    assert refusal(NewRegisteredModel, name="m", tags={"k": "x" * 100_001}) == too_long
    assert refusal(NewModelVersion, name="m", source="s", tags={"k": "x" * 100_001}) == too_long


def test_tags_of_one_entity_have_limits_together():
    """In number, and in bytes of their keys and values; at creation as when they are set."""
    most = {f"k{number}": "v" for number in range(1_000)}
    long = {str(number): "\u00e9" * 50_000 for number in range(10)}
    message = str(validation.too_many_tags())
    assert "1000 tags" in message
    assert "1048576 bytes" in message
    assert validation.tags(most) == validation.version_tags(most) == most
    assert validation.tags(long) == long
    for too_many in ({**most, "one more": ""}, {**long, "x": "x" * 50_000}):
        assert refusal(validation.tags, too_many) == message
        assert refusal(NewRegisteredModel, name="m", tags=too_many) == message
        assert refusal(NewModelVersion, name="m", source="s", tags=too_many) == message


def test_the_text_of_a_prompt_has_its_own_sentence():
    """Only on versions, where prompts keep their text."""
    key, value = "mlflow.prompt.text", "x" * 100_001
    message = "Prompt text exceeds max length of 100000 characters."
    assert refusal(validation.version_tag_value, value, key=key) == message
    assert refusal(validation.version_tags, {key: value}) == message
    assert refusal(validation.tags, {key: value}) == TOO_LONG.format("value", 100_000)
    assert validation.version_tag_value(value[:-1], key=key) == value[:-1]


def test_descriptions_and_sources_have_limits():
    """Generous, stated, and the same for every store."""
    for field, limit in (
        ("description", 100_000),
        ("source", 4_096),
        ("storage_location", 4_096),
        ("run_link", 4_096),
        ("run_id", 256),
        ("user_id", 256),
        ("model_id", 256),
    ):
        fields = {"name": "m", "source": "s", field: EMOJI * limit}
        assert getattr(NewModelVersion(**fields), field) == EMOJI * limit
        fields[field] += "x"
        assert refusal(NewModelVersion, **fields) == TOO_LONG.format(field, limit)
    for field, limit in (("description", 100_000), ("deployment_job_id", 256)):
        message = TOO_LONG.format(field, limit)
        assert refusal(NewRegisteredModel, name="m", **{field: "x" * (limit + 1)}) == message


def test_drafts_are_checked_where_they_are_made():
    """A store never sees an illegal one."""
    assert refusal(NewRegisteredModel, name=" ") == MISSING.format("name")
    assert "Names may only contain" in refusal(NewRegisteredModel, name="m", tags={"%": ""})
    assert "Names cannot contain" in refusal(NewModelVersion, name="a/b", source="s")
    assert "Names may only contain" in refusal(
        NewModelVersion, name="m", source="s", tags={"%": ""}
    )


@pytest.mark.parametrize("alias", ["a", "A-b_c", "1", "v", "v1a", "-", "\u00e9\u65e5", "x" * 255])
def test_new_alias_accepts_words(alias):
    """Unicode letters and digits, dashes and underscores."""
    assert validation.new_alias(alias) == alias


@pytest.mark.parametrize("alias", ["a b", "a.b", "a/b", "a@b", "a\n", " ", EMOJI])
def test_alias_refuses_other_characters(alias):
    """A trailing newline does not slip through."""
    message = (
        f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), "
        "and dashes (-)."
    )
    assert refusal(validation.alias, alias) == message
    assert refusal(validation.new_alias, alias) == message


def test_alias_is_required_and_has_a_limit():
    """255 characters."""
    assert refusal(validation.alias, "") == MISSING.format("alias") + SEE_DOCS
    expected = TOO_LONG.format("Registered model alias name", 255)
    assert refusal(validation.alias, "x" * 256) == expected


@pytest.mark.parametrize("alias", ["latest", "LATEST", "LaTeSt"])
def test_new_alias_refuses_latest(alias):
    """It means the newest version; reading and deleting by it are legal."""
    message = "'latest' alias name (case insensitive) is reserved."
    assert refusal(validation.new_alias, alias) == message
    assert validation.alias(alias) == alias
    assert validation.is_latest(alias)


@pytest.mark.parametrize("alias", ["v1", "V1", "v007", "v\u0661"])
def test_new_alias_refuses_version_numbers(alias):
    """They would look like versions; reading and deleting by them are legal."""
    assert refusal(validation.new_alias, alias) == f"Version alias name '{alias}' is reserved."
    assert validation.alias(alias) == alias
    assert not validation.is_latest(alias)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (1, 1),
        (-3, -3),
        (2**70, 2**70),
        ("1", 1),
        ("0", 0),
        ("-1", -1),
        ("007", 7),
        ("2147483647", 2**31 - 1),
        ("2147483648", 2**31),
        ("9" * 5_000, 2**31),
    ],
)
def test_version_reads_digits(given, number):
    """Numbers that no version has are well-formed; thousands of digits cost nothing."""
    assert validation.version(given) == number


@pytest.mark.parametrize(
    "given",
    ["", " ", "x", "1.0", "1e1", " 2 ", "+2", "1_0", "\u0662", "0x1", "1\n", "--1", "-"],
)
def test_version_refuses_what_is_not_ascii_digits(given):
    """What Python's `int` reads is not all a version number."""
    message = f"Parameter 'version' must be an integer, got '{given}'."
    assert refusal(validation.version, given) == message


@pytest.mark.parametrize("given", [True, 1.0, None])
def test_version_refuses_other_types(given):
    """A truth value is not a number here."""
    message = f"Parameter 'version' must be an integer, got '{given}'."
    assert refusal(validation.version, given) == message


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"mlflow.prompt.is_prompt": "true"}, True),
        ({"mlflow.prompt.is_prompt": "TRUE"}, True),
        ({"mlflow.prompt.is_prompt": "false"}, False),
        ({"mlflow.prompt.is_prompt": ""}, False),
        ({"other": "true"}, False),
        ({}, False),
    ],
)
def test_is_prompt_reads_the_marker_in_any_case(tags, expected):
    """As events and prompt calls do."""
    assert validation.is_prompt(tags) is expected


def test_one_of_lists_what_is_allowed():
    """Words count exactly."""
    assert validation.one_of("b", allowed=iter("ab"), parameter="p") == "b"
    message = "Invalid value 'B' for parameter 'p' supplied: it must be one of a, b."
    assert refusal(validation.one_of, "B", allowed=iter("ab"), parameter="p") == message


@pytest.mark.parametrize("text", ["production", "PRODUCTION", "Production"])
def test_stage_is_read_in_any_case(text):
    """And printed in one."""
    assert Stage.parse(text) is Stage.PRODUCTION
    assert str(Stage.parse(text)) == "Production"


@pytest.mark.parametrize("text", ["", " production", "Deleted_Internal", "\u212aprod"])
def test_stage_refuses_other_words(text):
    """Not trimmed, and MLflow's internal stage is none of them."""
    assert refusal(Stage.parse, text) == (
        f"Invalid Model Version stage: {text}. Value must be one of None, Staging, Production, "
        "Archived."
    )


def test_only_two_stages_are_active():
    """Those that a transition may archive from."""
    assert [stage for stage in Stage if stage.is_active] == [Stage.STAGING, Stage.PRODUCTION]


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\x00", "U+0000"), ("\t", "U+0009"), ("\n", "U+000A"), ("\x1b", "U+001B"), ("\x7f", "U+007F"),
        ("\x85", "U+0085"), ("\x9b", "U+009B"), ("\u2028", "U+2028"), ("\u2029", "U+2029"),
        ("\u202e", "U+202E"), ("\u2066", "U+2066"), ("\u2069", "U+2069"),
    ],
)  # fmt: skip
def test_uri_is_one_line_that_is_what_it_looks_like(character, name):
    """Controls, line breaks and what turns the direction of writing are refused by name."""
    assert refusal(validation.uri, f"s3://b/{character}p", parameter="source") == (
        "Invalid value for parameter 'source' supplied: it contains the control character "
        f"{name} at position 7."
    )


def test_uri_may_be_in_any_language():
    """Also where it is written from right to left, and with what joins letters there."""
    for uri in ("s3://b/naïve 模型/\u05de\u05d5\u05d3\u05dc/\u0645\u200c\u062f", ""):
        assert validation.uri(uri, parameter="source") == uri
