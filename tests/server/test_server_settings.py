"""Settings: flag beats environment beats default."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from registry_server.process.arguments import command, from_arguments
from registry_server.process.command import main
from registry_server.process.settings import OPTIONS, Settings, SettingsError

GUIDES = Path(__file__).parents[2] / "docs/guides"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_guides_explain_every_setting(option):
    """Those of webhooks by their variables, in a guide of their own."""
    server, webhooks, access = (
        (GUIDES / name).read_text() for name in ("server.md", "webhooks.md", "access.md")
    )
    assert all(f"`{variable}`" in server + webhooks + access for variable in option.variables)
    is_webhooks = option.field.startswith("webhook_")
    assert option.hidden or is_webhooks or f"`{option.flag}`" in server


def test_defaults_are_safe_and_need_nothing():
    """Loopback, a file, one worker."""
    settings = from_arguments([], {})
    assert (settings.store, settings.host, settings.port) == (
        "sqlite:///registry.db",
        "127.0.0.1",
        8000,
    )
    assert settings == Settings()


def test_flag_beats_environment_beats_default():
    """For every setting alike."""
    environ = {"PORT": "1", "HOST": "h", "DATABASE_URL": "memory:"}
    settings = from_arguments(["--port", "2"], environ)
    assert (settings.port, settings.host, settings.store) == (2, "h", "memory:")
    environ["REGISTRY_STORE"] = "sqlite:///x.db"
    assert from_arguments([], environ).store == "sqlite:///x.db"
    assert from_arguments(["--store", "s3://b/p"], environ).store == "s3://b/p"


def test_empty_variable_is_an_absent_one():
    """Compose files write them."""
    assert from_arguments([], {"PORT": "", "REGISTRY_ALLOW_UNAUTHENTICATED": ""}) == Settings()


def test_lists_are_separated_by_commas():
    """With or without spaces."""
    environ = {"REGISTRY_ALLOWED_HOSTS": "a.com, b.com ,,*.c.com"}
    assert from_arguments([], environ).allowed_hosts == ("a.com", "b.com", "*.c.com")


def test_hosts_are_written_in_many_ways():
    """As people copy them: with a port, as a URL, with a dot at the end."""
    text = "A.com:8443, https://b.com/registry, c.com., *.d.com:*, [::1]:80, ::1, http://[fd00::1]/"
    found = from_arguments(["--allowed-hosts", text], {}).allowed_hosts
    assert found == ("a.com", "b.com", "c.com", "*.d.com", "::1", "::1", "fd00::1")
    for nonsense in (":80", "a b", "a:b:c", "https:///x", "u@h", "."):
        with pytest.raises(SettingsError, match="must be names of hosts"):
            from_arguments(["--allowed-hosts", nonsense], {})


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("YES", True), ("0", False), ("no", False), ("false", False)],
)
def test_switch_is_read_from_the_environment(text, value):
    """And is a flag without value on the command line."""
    environ = {"REGISTRY_ALLOW_UNAUTHENTICATED": text}
    assert from_arguments([], environ).allow_unauthenticated is value
    assert from_arguments(["--allow-unauthenticated"], {}).allow_unauthenticated is True


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--port", "x"], {}, "--port must be a number from 0 to 65535, not 'x'"),
        (["--port", "65536"], {}, "--port must be a number"),
        ([], {"PORT": "-1"}, "PORT must be a number"),
        ([], {"PORT": "٣"}, "PORT must be a number"),
        (["--workers", "0"], {}, "--workers must be a number from 1"),
        ([], {"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of debug, info, warning, error"),
        ([], {"REGISTRY_ALLOW_UNAUTHENTICATED": "maybe"}, "must be true or false"),
        (["--public-url", "models.example.com"], {}, "--public-url must be an http or https URL"),
        (["--public-url", "https://[bad"], {}, "--public-url"),
    ],
)
def test_value_that_cannot_be_meant_names_its_origin(arguments, environ, message):
    """So that whoever set it finds it."""
    with pytest.raises(SettingsError) as caught:
        from_arguments(arguments, environ)
    assert message in str(caught.value)


def test_unknown_flag_ends_with_the_usage(capsys):
    """An abbreviation is not guessed at."""
    for flag in ("--prot", "--allow-unauth"):
        with pytest.raises(SystemExit) as caught:
            from_arguments([flag], {})
        assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.index("Error: No such option") < shown.index("Usage: registry-server")


def test_help_names_every_setting_and_its_variables(capsys):
    """Except those that are not for people."""
    with pytest.raises(SystemExit):
        from_arguments(["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    for option in OPTIONS:
        assert (option.flag in text) != option.hidden, option.flag
        if not option.hidden:
            assert ", ".join(option.variables) in text


def test_version_is_the_distributions(capsys):
    """As `regctl --version`."""
    with pytest.raises(SystemExit) as caught:
        from_arguments(["--version"], {})
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("registry-server, version ")


def test_every_setting_has_a_sentence_and_a_name_for_its_value():
    """As every option of regctl."""
    for option in command().params:
        assert option.help[0].isupper() or option.help.startswith("URL")
        assert option.is_flag or option.metavar.isupper()
        assert option.metavar != "VALUE" or option.hidden, option.name


def test_every_setting_is_an_option():
    """A field that nothing can set would be none."""
    assert [option.field for option in OPTIONS] == [field.name for field in attrs.fields(Settings)]


def test_settings_are_shown_with_their_origins_and_without_secrets(capsys, monkeypatch):
    """Of each setting its value, and the flag or variable that says so."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter2@db/registry?password=hunter2")
    monkeypatch.setenv("REGISTRY_WEBHOOK_SECRET_KEY", "hunter2hunter2")
    monkeypatch.setenv("REGISTRY_ARTIFACTS", "s3://bucket/p?endpoint_url=http://hunter2")
    monkeypatch.setenv("REGISTRY_TRUSTED_PROXIES", "10.0.0.0/8")
    arguments = ["--port", "9000", "--metrics-address", "[::1]:9090", "--access-log"]
    main(["config", "show", "--json", *arguments])
    text = capsys.readouterr().out
    found = json.loads(text)
    assert found.keys() == {option.field for option in OPTIONS}
    assert found["store"] == {"value": "postgresql://***@db/registry?***", "origin": "DATABASE_URL"}
    assert found["webhook_secret_key"]["value"] == "***"
    assert found["port"] == {"value": 9000, "origin": "--port"}
    assert found["workers"] == {"value": 1, "origin": "default"}
    assert found["trusted_proxies"]["value"] == ["10.0.0.0/8"]
    main(["config", "show", *arguments])
    table = capsys.readouterr().out
    assert "hunter2" not in text + table
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert lines["port"] == ["9000", "--port"]
    assert lines["metrics-address"] == ["[::1]:9090", "--metrics-address"]
    assert lines["access-log"] == ["yes", "--access-log"]
    assert lines["auth-file"] == ["-", "default"]


def test_settings_that_cannot_be_used_are_not_shown(capsys, monkeypatch):
    """What is wrong is said as at the start: of a flag as of any other fault in a command line."""
    with pytest.raises(SystemExit) as caught:
        main(["config", "show", "--port", "x"])
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Error: --port must be a number from 0 to 65535, not 'x'\n\nUsage: ")
    monkeypatch.setenv("PORT", "x")
    with pytest.raises(SystemExit) as caught:
        main(["config", "show"])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("registry-server: PORT must be a number")
