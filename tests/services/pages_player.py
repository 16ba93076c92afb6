"""Plays a page: types what it shows into a shell, and compares what comes back.

A `console` block is a session: a line that begins with `$ ` is typed, one that begins with `> `
continues it, and the lines below are what has to be printed. A `python` block is run as a program;
if a `text` block follows it, that is what it prints. All blocks of a page share a folder and a shell,
so that a variable which one exports is there for the next.

Three things may differ from one run to the next, and are compared by their form alone: times, digests,
and durations. A command that serves until it is stopped is left running until the page ends; what it
prints first is compared.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "<digest>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|seconds|[KM]iB/s)\b"), "<duration>"),
)
_SERVERS = re.compile(r"(^|&& |uv run )registry-server( --(?!help|version)\S+( [^-\s]\S*)?)*$")
_END = "end of the output of a command"
_PATIENCE_S = 120


class Player:
    """A newcomer with an empty folder, an empty home and the page in front of them."""

    def __init__(self, folder, environment, *, says=()):
        """`says` replaces what a page leaves to the reader: pairs of a placeholder and a value."""
        self.folder, self.port = folder, _free_port()
        self._says = [("127.0.0.1:8000", f"127.0.0.1:{self.port}"), *says]
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
        for server in self._servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            server.wait(_PATIENCE_S)
        self._shell.communicate(b"exit\n", timeout=_PATIENCE_S)

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

    def _session(self, block):
        """The block with what was really printed."""
        lines = []
        for command, shown in commands_of(block):
            lines += [
                f"{'$ ' if not n else '> '}{line}" for n, line in enumerate(command.split("\n"))
            ]
            typed = self._as_typed(command)
            if _SERVERS.search(command):
                lines += _beginning_with(shown, self._as_on_the_page(self._serve(typed)))
            else:
                lines += self._as_on_the_page(self._run(typed)).splitlines()
        return "\n".join(lines) + "\n"

    def _run(self, command):
        """What a command prints; it runs in the shell itself, so that `cd` and `export` last."""
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo '{_END}'\n".encode())
        self._shell.stdin.flush()
        printed, deadline = b"", time.monotonic() + _PATIENCE_S
        while not printed.endswith(f"\n{_END}\n".encode()):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._shell.stdout], [], [], max(left, 0))
            assert ready, f"{command} has not ended; it printed {printed.decode()}"
            more = os.read(self._shell.stdout.fileno(), 65536)
            assert more, f"the shell ended at {command}; it printed {printed.decode()}"
            printed += more
        return printed.decode().removesuffix(f"\n{_END}\n")

    def _serve(self, command):
        """Starts a server with what the shell exports, and waits until it answers."""
        where = self._run("pwd").strip()
        exports = dict(
            line.split("=", 1) for line in self._run("env").splitlines() if re.match(r"\w+=", line)
        )
        log = self.folder / f"server-{len(self._servers)}.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=where,
                env=exports,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        _wait_for(f"http://127.0.0.1:{self.port}/health", server, log)
        return log.read_text()

    def _program(self, code):
        exports = dict(
            line.split("=", 1) for line in self._run("env").splitlines() if re.match(r"\w+=", line)
        )
        done = subprocess.run(
            [sys.executable, "-c", self._as_typed(code)],
            cwd=self._run("pwd").strip(),
            env=exports,
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
        for shown, real in self._says:
            text = text.replace(real, shown)
        return text


def _beginning_with(shown, printed):
    """As many lines as a page shows of what a server prints, from the first that it shows."""
    lines = printed.splitlines()
    begins = lines.index(shown[0]) if shown and shown[0] in lines else 0
    return lines[begins : begins + len(shown)]


def commands_of(block):
    """The commands of a session, each with what the page shows below it."""
    commands = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], []))
        elif line.startswith("> "):
            command, shown = commands[-1]
            commands[-1] = (f"{command}\n{line[2:]}", shown)
        else:
            commands[-1][1].append(line)
    return commands


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
    while time.monotonic() < deadline:
        assert server.poll() is None, Path(log).read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(Path(log).read_text())
