"""What plays the pages finds what is wrong with one."""

import os

import pytest


@pytest.fixture
def play(newcomer, tmp_path):
    """Plays a guide of one session; gives what is wrong, and the guide as it should be."""

    def playing(*lines, prelude="", **options):
        page = tmp_path / "page.md"
        page.write_text(_page(lines))
        return newcomer(path=os.environ["PATH"], **options).play_guide(page, prelude=prelude)

    return playing


def _page(lines):
    return "\n".join(["# A page", "", "```console", *lines, "```", ""])


RIGHT = {
    "output": ("$ echo a; echo b", "a", "b"),
    "output that is not shown": ("$ echo a",),
    "a beginning": ("$ seq 9", "1", "2", "…"),
    "a time": ("$ date -u +%FT%TZ", "2001-02-03T04:05:06Z"),
    "a line that goes on": ("$ echo a \\", "    b", "a b"),
    "a prompt that goes on": ("$ for each in a b", "> do echo $each", "> done", "a", "b"),
    "what lasts": ("$ cd / && export A=b", "$ echo $PWD $A", "/ b"),
    "an error": ("$ echo 'Error: no' && false", "Error: no"),
    "an exit code": ("$ (exit 3)", "$ echo $?", "3"),
}


@pytest.mark.parametrize("lines", RIGHT.values(), ids=RIGHT)
def test_what_is_right_stays(play, lines):
    assert play(*lines) == ([], _page(lines))


WRONG = {
    "another output": (("$ echo a", "b"), ("$ echo a", "a")),
    "more than is shown": (("$ echo a; echo b", "a"), ("$ echo a; echo b", "a", "b")),
    "less than is shown": (("$ echo a", "a", "b"), ("$ echo a", "a")),
    "another beginning": (("$ seq 9", "1", "3", "…"), ("$ seq 9", "1", "2", "…")),
    "no output": (("$ true", "a"), ("$ true",)),
    "another exit code": (("$ (exit 3)", "$ echo $?", "4"), ("$ (exit 3)", "$ echo $?", "3")),
}


@pytest.mark.parametrize(("lines", "right"), WRONG.values(), ids=WRONG)
def test_another_output_is_found_and_put_right(play, lines, right):
    wrong, text = play(*lines)
    assert wrong
    assert text == _page(right)


FAILING = {
    "it fails": ("$ false",),
    "it fails with output": ("$ echo a && false", "a"),
    "it is not there": ("$ absent-program",),
    "it shows an error and succeeds": ("$ echo 'Error: no'", "Error: no"),
    "its code is asked for and it succeeds": ("$ true", "$ echo $?", "0"),
}


@pytest.mark.parametrize("lines", FAILING.values(), ids=FAILING)
def test_another_end_is_found(play, lines):
    (failure,), text = play(*lines)
    assert failure[0] == lines[0].removeprefix("$ ")
    assert text == _page(lines)


def test_a_prelude_is_typed_before_the_page_and_before_a_session(play):
    prelude = "A=b\n\n# Before: $ echo $A $B\nB=c\n"
    assert play("$ echo $A $B", "b c", prelude=prelude)[0] == []


@pytest.mark.parametrize("prelude", ["false\ntrue", "# Before: $ echo a\nfalse\ntrue"])
def test_a_prelude_that_fails_is_an_error(play, prelude):
    with pytest.raises(AssertionError, match="the shell ended"):
        play("$ echo a", prelude=prelude)


def test_a_prelude_of_a_session_that_is_not_there_is_an_error(play):
    with pytest.raises(AssertionError, match=r"no session begins with .*echo b"):
        play("$ echo a", prelude="# Before: $ echo b\ntrue\n")


def test_placeholders_are_replaced_and_come_back(play):
    assert play("$ echo at NAME", "at NAME", says=[("NAME", "a-name")])[0] == []


def test_a_command_that_goes_on_is_interrupted_once_a_condition_holds(play):
    go_on = "trap 'exit 0' INT; touch begun; while :; do sleep 0.1; done"
    assert play(f"$ {go_on}", "$ ls", "begun", until=[("trap", "test -e begun")])[0] == []


def test_a_command_that_an_interrupt_makes_fail_is_found(play):
    go_on = "trap 'exit 3' INT; touch begun; while :; do sleep 0.1; done"
    (failure,), _ = play(f"$ {go_on}", until=[("trap", "test -e begun")])
    assert failure[1] == 3
