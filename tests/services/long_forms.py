"""Which cases of a test the gate leaves to `nox -s long`, in one table.

A test with many cases proves one thing with each. Where a few of them show as much as all unless
something odd is broken, the gate runs those, and the long session all. What only the long session
has at all, and what has its own short form, is marked `long` where it is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

COLLECTED = pytest.StashKey[frozenset[str]]()
"""Where a session keeps the ids of all tests that were collected, also of those that do not run."""

IN_THE_GATE: dict[str, int | tuple[str, ...]] = {
    # The kit: all of it runs on SQLite. On the others each test runs, with some of its cases; on the
    # store of the documentation not what takes seconds there. In a bucket, where each takes long, one
    # stretch of time and one order of pages do.
    "tests/stores/test_sql_conformance.py::TestPostgresqlStore": 3,
    "tests/stores/test_s3_conformance.py": 5,
    # A bucket keeps a model as one document, which every change makes by what the store in memory makes
    # it by, and which filters and limits look at by that, too. The state machine makes every change here.
    **{
        f"tests/stores/test_s3_conformance.py::TestS3Store::{test}": 0
        for test in (
            "test_a_pending_version_is",
            "test_a_version_has_",
            "test_aliases_",
            "test_any_legal_name_can_be",
            "test_approvals_",
            "test_delete_alias",
            "test_delete_model_tag",
            "test_delete_version_tag",
            "test_every_operation_works_under",
            "test_filters_",
            "test_finalize_",
            "test_model_tags_",
            "test_pages_continue_after_any",
            "test_registered_models_of_any",
            "test_relocate_",
            "test_rename_registered_model_works_between_any",
            "test_set_",
            "test_transition_",
            "test_update_model_version",
            "test_update_registered_model",
            "test_version_tags_",
        )
    },
    **{
        f"tests/stores/test_s3_conformance.py::TestS3Store::{test}": ("months",)
        for test in (
            "test_a_deleted_name_is_free",
            "test_a_model_is_renamed_to_and_fro",
            "test_a_name_stays_taken",
            "test_a_name_that_was_renamed_away_is_taken_again",
            "test_a_page_token_does_not_expire",
            "test_a_rename_onto_an_old_model_is_refused",
            "test_a_webhook_stays",
            "test_nothing_changes_because_time_passes",
            "test_the_last_write_counts",
        )
    },
    "tests/stores/test_s3_conformance.py::TestS3Store::test_pages_continue_after": ("ASC",),
    "tests/stores/test_rest_conformance.py::TestRestStore::test_pages_continue_after": ("DESC",),
    "tests/stores/test_rest_conformance.py": 5,
    "tests/stores/test_example_store.py": 8,
    # The store of the documentation searches and counts by what the store in memory does it by, too.
    "tests/stores/test_example_store.py::TestJsonFileStore::test_a_killed_process": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_filters_": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_pages_of_": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_tags_have_a_limit": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_aliases_have_a_limit": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_every_operation_works_under": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_pages_continue_after_any": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_any_legal_name_can_be": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_registered_models_of_any": 0,
    # One test more of several processes has fewer promises, and runs where processes differ most.
    "tests/stores/test_sql_conformance.py::TestSqliteStore::test_processes_share_the_version": 0,
    "tests/stores/test_rest_conformance.py::TestRestStore::test_processes_share_the_version": 0,
    "tests/stores/test_s3_conformance.py::TestS3Store::test_processes_share_the_version": 0,
    "tests/stores/test_example_store.py::TestJsonFileStore::test_processes_share_the_version": 0,
    # `nox -s twins` runs all of the kit on them.
    "tests/stores/test_plain_twins.py::TestPlainPostgresqlStore::test_pages_of_": 0,
    "tests/stores/test_plain_twins.py::TestPlainS3Store::test_aliases_": 0,
    # A process is killed, or a request fails, at every request of what is run.
    "tests/stores/test_s3_crashes.py::test_a_crash_leaves_the_state_before_or_after": (
        "restore version",
        "create model where one left",
        "create version with a large text",
        "rename model to a deleted name",
        "delete model]",
        "set tag when the events are many",
        "set alias",
        "prune history",
        "update webhook",
    ),
    "tests/stores/test_s3_faults.py::test_a_fault_at_any_request_changes_nothing_for_the_caller": 7,
    "tests/stores/test_s3_faults.py::test_a_fault_while_reading_changes_nothing_for_the_caller": 4,
    "tests/stores/test_s3_ages.py::test_a_fault_on_an_old_document_changes_nothing_for_the_caller": 5,
    "tests/stores/test_s3_damage.py": 5,
    "tests/stores/test_s3_interleavings.py": 7,
    "tests/stores/test_s3_listing.py": 4,
    "tests/stores/test_s3_requests.py::test_a_mutation_costs_what_the_price_list_says": 5,
    "tests/stores/test_s3_requests.py::test_a_mutation_by_a_stranger": 5,
    # Every damage on one database; on the other, some that it keeps in types of its own.
    "tests/stores/test_sql_fsck.py::test_what_is_wrong_is_found_and_repaired": (
        "sqlite-",
        "postgresql-UPDATE model_versions",
        "postgresql-DROP INDEX",
    ),
    # Each waits for a lock until it gives up.
    "tests/stores/test_sql_lanes.py::test_no_change_waits_long_for_a_lock": 4,
    "tests/stores/test_access_door.py::test_scopes_of_many_pieces_are_read": 5,
    "tests/stores/test_sql_plans.py": 5,
    "tests/stores/test_sql_plans.py::test_a_search_uses_its_index": 1,
    "tests/stores/test_sql_skew.py": 5,
    "tests/stores/test_sql_faults.py::test_what_the_server_says_decides_what_is_repeated": 3,
    "tests/stores/test_sql_servers.py": ("PostgreSQL 10", "verify-full", "ICU", "serializable"),
    "tests/stores/test_sql_failover.py::test_fenced_primary_takes_no_writes": 2,
    "tests/stores/test_sql_failover.py::test_host_that_accepts_no_writes_is_left_for_the_other": 2,
    "tests/stores/test_racing_promoters.py": ("sqlite-2", "s3-2", "server-2"),
    "tests/stores/test_rest_hostile.py::test_drip_ends_when_the_call_has_to": 3,
    "tests/stores/test_rest_hostile.py::test_flood_takes_neither_memory_nor_time": 3,
    "tests/stores/test_rest_hostile.py::test_server_before_a_hostile_one_answers": 3,
    "tests/stores/test_rest_hostile.py::test_what_is_no_answer_is_no_empty_registry": 4,
    "tests/stores/test_snapshots.py::test_thousands_of_versions_and_events_are_restored": 2,
    # Files: as many cases as show each route and each kind of root.
    "tests/artifacts/test_artifact_immutability.py::test_announcement_that_cannot_be_read": 4,
    "tests/artifacts/test_artifact_immutability.py::test_every_uri_of_the_files_seals_them": 3,
    "tests/artifacts/test_artifact_immutability.py::test_put_that_began_before_is_refused": 5,
    "tests/artifacts/test_artifact_paths.py::test_odd_names_are_written_and_read": 7,
    "tests/artifacts/test_artifact_paths.py::test_tricks_are_refused_on_every_route": 5,
    # Routes know roots by their interface: a directory and a bucket show what it has.
    "tests/artifacts/test_artifact_routes.py": 2,
    "tests/artifacts/test_artifact_served.py": 2,
    "tests/artifacts/test_artifact_routes.py::test_aborted_upload_leaves_nothing": 5,
    "tests/artifacts/test_artifact_routes.py::test_put_takes_any_length_in_both_framings": 3,
    "tests/artifacts/test_artifact_tampering.py::test_every_change_is_told_with_path": 5,
    "tests/artifacts/test_artifact_tampering.py::test_manifest_of_a_pushed_version": 5,
    "tests/artifacts/test_artifact_tampering.py::test_manifest_that_is_not_the_versions": 5,
    # Servers, and MLflow's client: what has to hold on each store is run there, the rest on one.
    # All stores of ours pass the kit: the client meets one in each file. That MLflow's own server
    # passes the same tests says whether they are fair; it does not change with our code.
    "tests/acceptance/test_acceptance_model_versions.py": ("postgresql",),
    "tests/acceptance/test_acceptance_prompts.py": ("sqlite",),
    "tests/acceptance/test_acceptance_registered_models.py": ("sqlite",),
    "tests/acceptance/test_acceptance_search.py": ("sqlite", "s3"),
    "tests/acceptance/test_acceptance_webhooks.py": ("s3",),
    # Through the plug-in by a client, and by MLflow's server what differs there.
    "tests/mlflow_plugin/test_plugin_acceptance.py": ("direct sqlite",),
    **{
        f"tests/mlflow_plugin/test_plugin_acceptance.py::test_{test}": ("sqlite",)
        for test in (
            "a_prompt_version_may_only_have",
            "create_",
            "get_",
            "search_registered_models_filters",
            "search_registered_models_refuses_a_bad_order",
            "transition_archives",
            "webhooks_are_told",
        )
    },
    "tests/server/test_server_properties.py::test_nasty_text": (
        "memory",
        *(
            f"{store}-{text!r}"
            for store in ("sqlite", "postgresql")
            for text in ("m", "1", "runs:/")
        ),
    ),
    # Beside it, tests/stores/test_sql_failover.py meets each way in which a primary can be lost.
    "tests/chaos/test_chaos_failover.py": ("endure_by_hosts",),
    "tests/server/test_webhook_durable.py::test_servers_that_are_killed": ("sqlite",),
    "tests/server/test_server_listener.py::test_clients_that_come_at_once_are_shared_out": ("48",),
    "tests/server/test_webhook_durable.py::test_alias_moved_by_the_library": ("postgresql",),
    "tests/server/test_webhook_durable.py::test_what_was_committed_while_no_server_ran": (
        "sqlite",
    ),
    "tests/server/test_webhook_durable.py::test_server_that_dies_while_it_delivers": ("s3",),
    "tests/server/test_webhook_durable.py::test_servers_and_workers_share": ("postgresql",),
    "tests/server/test_webhook_durable.py::test_delivery_that_is_given_up": ("sqlite",),
    "tests/server/test_webhook_own_events.py::test_a_version_that_fails": ("sqlite",),
    "tests/server/test_webhook_own_events.py::test_every_change_is_told": ("postgresql", "s3"),
    "tests/acceptance/test_acceptance_races.py": 2,
    "tests/acceptance/test_acceptance_flows.py::test_a_logged_model_is_registered": 3,
    "tests/acceptance/test_acceptance_flows.py::test_runs_and_models_uris_register": 3,
    # Terminals: every command and every error has the same two ways out.
    "tests/cli/test_cli_terminal.py::test_complaints_about_arguments_are_not_obeyed": 3,
    "tests/cli/test_cli_terminal.py::test_errors_quote_and_do_not_obey": 5,
    "tests/cli/test_cli_terminal.py::test_results_are_shown_and_not_obeyed": 3,
    # Pages are the same on every store. What people do on them runs on all: two journeys in the gate.
    "tests/pages/test_pages_in_chromium.py": ("sqlite",),
    "tests/pages/test_pages_in_chromium.py::test_pages_fit_every_screen": (
        "sqlite-320",
        "sqlite-1024",
    ),
    "tests/pages/test_pages_in_chromium.py::test_journey_of_somebody_who_repairs": (
        "sqlite",
        "postgresql-without",
        "s3-with scripts",
    ),
    "tests/pages/test_pages_in_chromium.py::test_journey_of_somebody_who_deletes": (
        "sqlite",
        "postgresql-with scripts",
        "s3-without",
    ),
    "tests/pages/test_pages_in_chromium.py::test_pages_have_no_barriers": (
        "sqlite-wide",
        "sqlite-narrow",
    ),
    "tests/pages/test_pages_signed_in.py": ("without",),
    "tests/pages/test_pages_signed_in.py::test_the_access_page_has_no_barriers": 1,
}
"""By the beginning of a test's id: the gate runs each so many-th case of every such test, counted
from the first, and all of a test that has no more than so many; or none, for 0; or it runs the cases
with one of these texts in their id, and a test without cases.

With a number that has no divisor in common with how many values a parameter has, the cases that run
differ in its values; they meet each of them only if they are as many.
"""


def left_out(ids: Iterable[str]) -> set[str]:
    """Of all tests, those that only the long session runs."""
    cases: defaultdict[str, list[str]] = defaultdict(list)
    for each in ids:
        cases[each.partition("[")[0]].append(each)
    return {each for test, them in cases.items() for each in them if each not in _kept(test, them)}


def _kept(test: str, cases: list[str]) -> list[str]:
    rule = _rule(test)
    if isinstance(rule, tuple):
        named = (each for each in cases if any(text in _case(each) for text in rule))
        return [*named] if cases != [test] else cases
    if rule == 0:
        return []
    return cases if rule is None or len(cases) <= rule else cases[::rule]


def _rule(test: str) -> int | tuple[str, ...] | None:
    beginnings = [each for each in IN_THE_GATE if test.startswith(each)]
    return IN_THE_GATE[max(beginnings, key=len)] if beginnings else None


def unused(tests: Iterable[str]) -> set[str]:
    """Beginnings in the table that no test has, or with a text that no case of these tests has.

    What they name was renamed: the gate would run all of it again, or nothing of it.
    """
    ids = [*tests]
    return {each for each, rule in IN_THE_GATE.items() if not _is_used(each, rule, ids)}


def _is_used(beginning: str, rule: int | tuple[str, ...], ids: list[str]) -> bool:
    cases = [_case(each) for each in ids if each.startswith(beginning)]
    texts = rule if isinstance(rule, tuple) else ("",)
    return all(any(text in case for case in cases) for text in texts)


def _case(test: str) -> str:
    """What distinguishes a case from the others of its test; empty for a test without cases."""
    return test.partition("[")[2]
