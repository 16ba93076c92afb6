"""`regctl store fsck` on a registry in a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cli.invoking import Regctl
from services.s3 import S3Server, bucket_name


@pytest.fixture
def cli(s3_url: str) -> Regctl:
    """The command on an empty bucket, without artifacts."""
    cli = Regctl(s3_url)
    cli.ok("models", "create", "churn", "--tag", "team=risk")
    cli.ok("versions", "create", "churn", "s3://elsewhere/1")
    return cli


@pytest.fixture
def damaged(cli: Regctl, s3_server: S3Server, s3_prefix: str) -> Iterator[Regctl]:
    """A large text that no model refers to lies in the bucket, as a dead process leaves it."""
    client = s3_server.client()
    cli.says("models", "tag", "churn", "card=" + "x" * 50_000)
    listed = client.list_objects_v2(Bucket=bucket_name(), Prefix=f"{s3_prefix}/values/")
    key = listed["Contents"][0]["Key"]
    body = client.get_object(Bucket=bucket_name(), Key=key)["Body"].read()
    written_by = key[: -len(".txt")].rsplit("-", 1)[1]
    orphan = key.replace(written_by, "0" * len(written_by))
    client.put_object(Bucket=bucket_name(), Key=orphan, Body=body)
    yield cli
    client.close()


def fsck(cli: Regctl, *arguments: str) -> tuple[int, dict[str, object]]:
    """How it ended, and what it printed."""
    result = cli.run("-o", "json", "store", "fsck", "--grace", "0s", *arguments)
    assert result.stdout, result.stderr
    return result.exit_code, json.loads(result.stdout)


def test_a_sound_registry_is_clean(cli: Regctl) -> None:
    """Exit code 0, and a count of what was looked at."""
    code, printed = fsck(cli)
    assert (code, printed["findings"], printed["clean"]) == (0, [], True)


def test_what_is_wrong_is_reported_and_left_alone(damaged: Regctl) -> None:
    """A dry run unless asked otherwise; exits with 6 as often as it is asked."""
    for _ in range(2):
        code, printed = fsck(damaged)
        (found,) = printed["findings"]
        assert (code, printed["clean"]) == (6, False)
        assert (found["problem"], found["repairable"], found["repaired"]) == (
            "orphaned-value",
            True,
            False,
        )


def test_a_table_names_the_problem(damaged: Regctl) -> None:
    """One line for each finding, on stdout."""
    result = damaged.run("store", "fsck", "--grace", "0s")
    assert result.exit_code == 6
    assert "orphaned-value" in result.stdout


def test_what_is_young_is_taken_for_under_way(damaged: Regctl) -> None:
    """An hour, unless told otherwise."""
    assert damaged.run("store", "fsck").exit_code == 0


def test_a_repair_leaves_it_clean(damaged: Regctl) -> None:
    """And says what it did."""
    code, printed = fsck(damaged, "--repair")
    assert code == 0
    assert [found["repaired"] for found in printed["findings"]] == [True]
    assert fsck(damaged) == (0, {**fsck(damaged)[1], "findings": [], "clean": True})


def test_what_no_repair_can_mend_stays_reported(
    cli: Regctl, s3_server: S3Server, s3_prefix: str
) -> None:
    """A document that is no JSON any more is named, also where files cannot be checked for it."""
    client = s3_server.client()
    client.put_object(Bucket=bucket_name(), Key=f"{s3_prefix}/models/churn.json", Body=b"{")
    client.close()
    code, printed = fsck(cli, "--repair")
    (found,) = printed["findings"]
    assert (code, found["problem"], found["repaired"]) == (6, "unreadable-document", False)
