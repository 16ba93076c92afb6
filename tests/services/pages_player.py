"""Plays a page: types what it shows into a shell, and compares what comes back.

A `console` block is a session: a line that begins with `$ ` is typed, one that begins with `> `
continues it, and the lines below are what has to be printed. A `python` block is run as a program;
if a `text` block follows it, that is what it prints. All blocks of a page share a folder and a shell,
so that a variable which one exports is there for the next.

Three things may differ from one run to the next, and are compared by their form alone: times, digests,
and durations. A command that serves until it is stopped is left running until the page ends, or until
another one serves; what it prints first is compared.

Of a guide the sessions alone are played. It takes much for granted, which a prelude makes: a shell file,
which is typed first. Below a line `# Before: $ COMMAND` it has what is typed before the session that
begins with this command. Where a guide shows no output, the command may print anything, but has to
succeed; one that shows an error, or whose exit code is shown next, has to fail. In a prelude,
`shown json 2` prints the second block of JSON on the page.
"""

import functools
import os
import re
import select
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<digest>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|seconds|[KM]iB/s)\b"), "<duration>"),
)
_SERVERS = re.compile(
    r"(^|&& |uv run |\w+=\S+ )(registry-server|mlflow server)"
    r"( --(?!help|version)\S+( [^-\s]\S*)?)*( 2>> \S+)?( +# .*)?$"
)
_SHOWN = """\
shown() {{
awk -v language="$1" -v number="${{2:-1}}" '
$0 == "```" language {{ shows = ++found == number; next }}
$0 == "```" {{ shows = 0 }}
shows' {page}
}}"""
_BEFORE = re.compile(r"^# Before: (.*)\n", re.MULTILINE)
_END = "end of the output of a command"
_ENDED = re.compile(rf"\n{_END} (\d+)\n$")
_PATIENCE_S = 120
_OURS = ("AWS_", "DATABASE_URL", "MLFLOW_", "PYTEST_", "PYTHON", "REGISTRY_", "VIRTUAL_ENV", "XDG_")
"""The beginnings of variables that a newcomer does not have."""


def newcomers_environment(home, *, path):
    """The variables of somebody whose home is empty."""
    return {
        # Where packages come from is the machine's affair, and an empty home does not know it.
        **{key: value for key, value in os.environ.items() if not key.startswith(_OURS)},
        "PIP_CONFIG_FILE": os.environ.get("PIP_CONFIG_FILE", _pip_configuration()),
        # Nor are its warnings about them.
        "PIP_QUIET": "2",
        "UV_CACHE_DIR": _uv_cache(),
        "HOME": os.fspath(home),
        "PATH": path,
        "USER": "ann",
        "LOGNAME": "ann",
        "LANG": "C.UTF-8",
    }


def bucket_says(request, *, keys, bucket):
    """What a page leaves to the reader, as pairs: keys, and a URL in a bucket."""
    place = f"s3://{request.getfixturevalue('s3_bucket')}/{request.getfixturevalue('s3_prefix')}"
    return [(keys, _bucket_keys(request.getfixturevalue("s3_server"))), (bucket, place)]


def _bucket_keys(server):
    """What a shell exports for an S3 server of the tests."""
    keys = {
        **{
            key: server.environment()[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        },
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
    }
    return " ".join(f"{key}={value}" for key, value in keys.items())


class Ran(NamedTuple):
    """What a command has printed, and its exit code."""

    printed: str
    code: int


class Player:
    """A newcomer with an empty folder, an empty home and the page in front of them."""

    def __init__(self, folder, environment, *, says=(), until=(), launchers=None):
        """`says` replaces what a page leaves to the reader: pairs of a placeholder and a value.

        `until` are pairs of the beginning of a command that goes on by itself and a command which
        succeeds once the first may be interrupted. `launchers` is a directory of the path that such a
        command is not taken from: what runs there would not be interrupted.
        """
        self.folder, self.port = folder, _free_port()
        self._says = [*says, ("127.0.0.1:8000", f"127.0.0.1:{self.port}")]
        self._until, self._launchers = until, launchers
        self._environment = {**environment, "PORT": str(self.port)}
        self._servers = []
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )

    def close(self):
        """Ends the shell and the servers."""
        self._end_servers()
        self._shell.communicate(b"exit\n", timeout=_PATIENCE_S)

    def _end_servers(self):
        for server in self._servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            server.wait(_PATIENCE_S)

    def play(self, page):
        """Plays every block; gives a list of what was not as the page says, and the page as it is."""
        wrong, text = [], page.read_text()
        programs = []
        for example in _examples(page):
            block = example.parsed
            if example.language == "console":
                new = self._session(block)
                if new is not None and not _same(new, block):
                    wrong.append((page.name, block, new))
                    text = text.replace(block, new)
            elif example.language == "python":
                programs.append(self._program(block))
            elif example.language == "text" and programs:
                printed = self._as_on_the_page(programs.pop())
                if not _same(printed, block):
                    wrong.append((page.name, block, printed))
                    text = text.replace(f"```text\n{block}```", f"```text\n{printed}```")
        return wrong, text

    def play_guide(self, page, *, prelude="", left_out=()):
        """Plays every session but those that begin as said; gives what was not as the page says.

        Also gives the page as it is.
        """
        wrong, text = [], page.read_text()
        before = _sections(prelude)
        self._run(_SHOWN.format(page=shlex.quote(os.fspath(page))))
        self._prelude(before.pop(""))
        for block in sessions_of(page):
            if (first := block.split("\n", 1)[0]) in left_out:
                continue
            self._prelude(before.pop(first, ""))
            new, failures = self._guided(block)
            wrong += failures
            if not _same(new, block):
                wrong.append((page.name, block, new))
                text = text.replace(block, new)
        assert not before, f"no session begins with {[*before]}"
        return wrong, text

    def _prelude(self, text):
        """Types what a guide takes for granted, which has to succeed; servers are left running."""
        self._run("set -e")
        typing = []
        for line in text.splitlines():
            if _SERVERS.search(line):
                self._run(self._as_typed("\n".join([":", *typing])))
                self._serve(self._as_typed(line))
                typing = []
            else:
                typing.append(line)
        self._run(self._as_typed("\n".join([":", *typing])))
        self._run("set +e")

    def _session(self, block):
        """The block with what was really printed."""
        lines = []
        for command in commands_of(block):
            lines += command.lines
            typed = self._as_typed(command.text)
            if _SERVERS.search(command.text):
                lines += _beginning_with(command.shown, self._as_on_the_page(self._serve(typed)))
            else:
                lines += self._as_on_the_page(self._run(typed).printed).splitlines()
        return "\n".join(lines) + "\n"

    def _guided(self, block):
        """The block with what was really printed where it shows output, and commands that fail."""
        lines, wrong = [], []
        commands = commands_of(block)
        for command, following in zip(commands, [*commands[1:], None], strict=True):
            ran = self._type(command)
            printed = self._as_on_the_page(ran.printed)
            lines += [*command.lines, *_elided(command.shown, printed)]
            fails = any(line.startswith("Error: ") for line in command.shown) or (
                following is not None and following.text == "echo $?"
            )
            if (ran.code != 0) != fails:
                wrong.append((command.text, ran.code, ran.printed))
        return "\n".join(lines) + "\n", wrong

    def _type(self, command):
        typed = self._as_typed(command.text)
        if _SERVERS.search(command.text):
            printed = self._serve(typed)
            return Ran("\n".join(_beginning_with(command.shown, printed)), 0)
        for beginning, condition in self._until:
            if command.text.startswith(beginning):
                return self._interrupt(typed, condition)
        return self._run(typed)

    def _run(self, command):
        """What a command prints; it runs in the shell itself, so that `cd` and `export` last."""
        # The next command may ask for the exit code.
        tail = f"code=$?; echo; echo '{_END}' $code; (exit $code)"
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\n{tail}\n".encode())
        self._shell.stdin.flush()
        printed, deadline = b"", time.monotonic() + _PATIENCE_S
        while not (ended := _ENDED.search(printed.decode(errors="replace"))):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._shell.stdout], [], [], max(left, 0))
            assert ready, f"{command} has not ended; it printed {printed.decode()}"
            more = os.read(self._shell.stdout.fileno(), 65536)
            assert more, f"the shell ended at {command}; it printed {printed.decode()}"
            printed += more
        return Ran(printed.decode()[: ended.start()], int(ended[1]))

    def _serve(self, command):
        """Starts a server with what the shell exports, and waits until it answers."""
        self._end_servers()
        log = self.folder / f"server-{len(self._servers)}.log"
        server = self._start(command, log)
        self._servers.append(server)
        scheme = "https" if " --tls-cert " in command else "http"
        _wait_for(f"{scheme}://127.0.0.1:{self.port}/health", server, log)
        return log.read_text()

    def _interrupt(self, command, condition):
        """What a command prints until it is interrupted, as soon as a condition holds."""
        log = self.folder.parent / "interrupted.log"
        process = self._start(command, log)
        deadline = time.monotonic() + _PATIENCE_S
        try:
            while self._run(self._as_typed(condition)).code:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(_PATIENCE_S)
        return Ran(log.read_text(), code)

    def _start(self, command, log):
        """A process group beside the shell, with its folder and what it exports."""
        exports = self._exports()
        places = exports["PATH"].split(os.pathsep)
        exports["PATH"] = os.pathsep.join(
            place for place in places if place != os.fspath(self._launchers or "")
        )
        with log.open("w") as output:
            return subprocess.Popen(
                ["bash", "-c", command],
                cwd=self._run("pwd").printed.strip(),
                env=exports,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _exports(self):
        lines = self._run("env").printed.splitlines()
        return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))

    def _program(self, code):
        done = subprocess.run(
            [sys.executable, "-c", self._as_typed(code)],
            cwd=self._run("pwd").printed.strip(),
            env=self._exports(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _as_typed(self, text):
        for shown, real in self._says:
            text = text.replace(shown, real)
        return text

    def _as_on_the_page(self, text):
        for shown, real in reversed(self._says):
            text = text.replace(real, shown)
        return text


def _beginning_with(shown, printed):
    """As many lines as a page shows of what a server prints, from the first that it shows."""
    lines = printed.splitlines()
    begins = lines.index(shown[0]) if shown and shown[0] in lines else 0
    return lines[begins : begins + len(shown)]


def _elided(shown, printed):
    """What is compared: nothing where nothing is shown, and the beginning of what ends with `…`."""
    lines = printed.splitlines()
    if not shown:
        return []
    return [*lines[: len(shown) - 1], "…"] if shown[-1] == "…" else lines


def _sections(prelude):
    """What is typed first, and before each session that it names."""
    first, *others = _BEFORE.split(prelude)
    return {"": first, **dict(zip(others[::2], others[1::2], strict=True))}


class Command(NamedTuple):
    """A command of a session, its lines as the page shows them, and what it shows below them."""

    text: str
    lines: list[str]
    shown: list[str]


def commands_of(block):
    """The commands of a session."""
    commands = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], [line], []))
            continue
        command = commands[-1]
        continues = command.text.endswith("\\") and not command.shown
        if line.startswith("> ") or continues:
            text = f"{command.text}\n{line.removeprefix('> ')}"
            commands[-1] = Command(text, [*command.lines, line], command.shown)
        else:
            command.shown.append(line)
    return commands


def sessions_of(page):
    """The `console` blocks of a page."""
    return [example.parsed for example in _examples(page) if example.language == "console"]


def _examples(page):
    languages = ("console", "python", "text")
    parsers = [CodeBlockParser(language=name, evaluator=lambda _: None) for name in languages]
    document = Sybil(parsers=parsers).parse(page)
    for example in document.examples():
        yield _Block(str(example.parsed), example.region.lexemes["arguments"])


class _Block:
    def __init__(self, parsed, language):
        self.parsed, self.language = parsed, language


def _same(printed, shown):
    return _form(printed) == _form(shown)


def _form(text):
    for pattern, form in _VOLATILE:
        text = pattern.sub(form, text)
    return [line.rstrip() for line in text.splitlines()]


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _wait_for(url, server, log):
    deadline = time.monotonic() + _PATIENCE_S
    anybodys = ssl.create_default_context()
    anybodys.check_hostname, anybodys.verify_mode = False, ssl.CERT_NONE
    while time.monotonic() < deadline:
        assert server.poll() is None, Path(log).read_text()
        try:
            with urllib.request.urlopen(url, timeout=5, context=anybodys):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(Path(log).read_text())


@functools.cache
def _uv_cache():
    done = subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or os.fspath(Path.home() / ".cache/uv")


def _pip_configuration():
    for place in ("~/.config/pip/pip.conf", "~/.pip/pip.conf"):
        if (path := Path(place).expanduser()).exists():
            return os.fspath(path)
    return os.devnull
