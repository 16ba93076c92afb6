"""`models:/` URIs (contract 3.7, 7.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core.errors import InvalidArgumentError
from registry_core.testing import strategies
from registry_core.uris import ModelUri, has_host, is_bare, is_model_uri, parse_model_uri


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("models:/m/3", ModelUri(name="m", version=3)),
        ("models:/m/0", ModelUri(name="m", version=0)),
        ("models:/m/2147483648", ModelUri(name="m", version=2**31)),
        ("models:/m/" + "9" * 25, ModelUri(name="m", version=10**25 - 1)),
        ("models:/a b/12", ModelUri(name="a b", version=12)),
        ("models:/m@champion", ModelUri(name="m", alias="champion")),
        ("models:/a@b@champion", ModelUri(name="a@b", alias="champion")),
        ("models:/a@b/1", ModelUri(name="a@b", version=1)),
        ("models:/m@1", ModelUri(name="m", alias="1")),
        ("models:/m@latest", ModelUri(name="m", latest=True)),
        ("models:/m@LATEST", ModelUri(name="m", latest=True)),
        ("models:/m/latest", ModelUri(name="m", latest=True)),
        ("models:/m/Latest", ModelUri(name="m", latest=True)),
        ("models:/m/Production", ModelUri(name="m", stage="Production")),
        ("models:/m/production", ModelUri(name="m", stage="production")),
        ("models:/m/-1", ModelUri(name="m", stage="-1")),
        ("models:/m/1.0", ModelUri(name="m", stage="1.0")),
        ("models:/m/\u0663", ModelUri(name="m", stage="\u0663")),
        ("models:/\u65e5\u672c/1", ModelUri(name="\u65e5\u672c", version=1)),
        ("models:/m%20/1", ModelUri(name="m%20", version=1)),
        ("models:/m?x=1/2", ModelUri(name="m?x=1", version=2)),
        ("models:/m/1?x=1", ModelUri(name="m", stage="1?x=1")),
        ("MODELS:/m/1", ModelUri(name="m", version=1)),
        ("models:///m/1", ModelUri(name="m", version=1)),
        ("models:////m@a", ModelUri(name="m", alias="a")),
    ],
)
def test_parse_model_uri_reads_every_form(text, uri):
    """Version, alias, stage and both spellings of latest; the name is taken as it is."""
    assert parse_model_uri(text) == uri


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "models:",
        "models:m/1",
        "models:/",
        "models:/m",
        "models:/m/",
        "models:/m/ ",
        "models:/m@",
        "models:/m@ ",
        "models:/@champion",
        "models:/ @champion",
        "models://",
        "models:///1",
        "models:// /1",
        "models:/m/1/2",
        "models:/m/Production/MLmodel",
        "models:/m@a/1/2",
        "models://host/m/1",
        "models://scope:key@databricks/m/1",
        "models:/m-0123456789abcdef0123456789abcdef",
        "runs:/r/model",
        "s3://bucket/path",
        "/models:/m/1",
        " models:/m/1",
    ],
)
def test_parse_model_uri_refuses_everything_else(text):
    """In MLflow's words, which repeat the text."""
    with pytest.raises(InvalidArgumentError) as raised:
        parse_model_uri(text)
    assert str(raised.value) == (
        f"Not a proper models:/ URI: {text}. Models URIs must be of the form "
        "'models:/model_name/suffix' or 'models:/model_name@alias' where suffix is a model "
        "version, stage, or the string 'latest' and where alias is a registered model alias. "
        "Only one of suffix or alias can be defined at a time."
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models://host/m/1", True),
        ("MODELS://host", True),
        ("models:///m/1", False),
        ("models:/m/1", False),
        ("models:m//h", False),
        ("models:m/h/x", False),
        ("models:", False),
        ("https://host/m", False),
    ],
)
def test_a_host_stands_between_two_slashes_and_the_next(text, expected):
    """It names the registry of somebody else."""
    assert has_host(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/m-1", True),
        ("MODELS:///m-1", True),
        ("models:/", False),
        ("models:m-1", False),
        ("models:m/1", False),
        ("models:/m/1", False),
        ("models:/m@a", False),
    ],
)
def test_a_bare_uri_has_one_word(text, expected):
    """It may be a logged model's, which only its own server knows."""
    assert is_bare(text) is expected


@given(
    strategies.names(),
    st.one_of(
        st.builds(dict, version=st.integers(0, 2**31)),
        st.builds(dict, alias=strategies.aliases()),
        st.builds(dict, stage=st.sampled_from(["None", "Staging", "Production", "Archived"])),
        st.just({"latest": True}),
    ),
)
def test_a_printed_uri_parses_to_itself(name, reference):
    """For any legal name and alias."""
    uri = ModelUri(name=name, **reference)
    assert parse_model_uri(str(uri)) == uri


def test_latest_is_printed_in_one_way():
    """Both spellings mean the same."""
    assert str(parse_model_uri("models:/m@latest")) == "models:/m/latest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/m/1", True),
        ("Models:/m/1", True),
        ("models:nonsense", True),
        ("models://host/m", True),
        ("model:/m/1", False),
        ("s3://models:/m", False),
        ("", False),
    ],
)
def test_is_model_uri_looks_at_the_scheme_only(text, expected):
    """Malformed ones are to be refused, not taken for something else."""
    assert is_model_uri(text) is expected
