"""An interactive shell on a pseudo-terminal of a given width, typed into as by a person."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "bash": ("bash", "--noprofile", "--norc", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
"""How each shell is started without the files of the user who runs the tests."""

ANSWER_SECONDS = 120
"""How long a command may take on a machine that is busy with other tests."""

ROWS = 50

_PROMPT = re.compile(rb"<<(\d+)>>")
"""What the shell says when it waits: the exit code of the last command."""


class Shell:
    """A shell; `is_edited` says whether its line editor is on, which completes and echoes."""

    def __init__(
        self,
        kind: str,
        *,
        columns: int,
        directory: Path,
        environment: Mapping[str, str],
        is_edited: bool = False,
    ) -> None:
        command = COMMANDS[kind]
        path = shutil.which(command[0])
        assert path is not None
        if kind == "bash" and not is_edited:
            command = (command[0], "--noediting", *command[1:])
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(directory)
            os.execve(path, command, {**os.environ, "TERM": "xterm", **environment})
        size = struct.pack("HHHH", ROWS, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)
        if kind == "zsh":
            self._write("unsetopt prompt_cr prompt_sp prompt_percent; setopt prompt_subst\n")
            if not is_edited:
                self._write("unsetopt zle\n")
        if not is_edited:
            self._write("stty -echo\n")
        # Not as it will look, so that its echo is not taken for it.
        self._write("PS2=; PS1='<<''$?>>'\n")
        self._until(_PROMPT)

    def run(self, line: str) -> tuple[int, str]:
        """Type a line, and return its exit code and all that the terminal was sent."""
        self._write(line + "\n")
        shown, code = self._until(_PROMPT)
        return int(code), shown.decode().replace("\r\n", "\n")

    def type_until(self, keys: str, text: str) -> str:
        """Press keys, and return what is shown once the wanted text is there."""
        self._write(keys)
        shown, _ = self._until(re.compile(b"(" + re.escape(text.encode()) + b")"))
        return shown.decode() + text

    def _write(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def _until(self, pattern: re.Pattern[bytes]) -> tuple[bytes, bytes]:
        shown, deadline = b"", time.monotonic() + ANSWER_SECONDS
        while True:
            found = pattern.search(shown)
            if found:
                return shown[: found.start()], found[1]
            left = deadline - time.monotonic()
            assert left > 0, shown
            if select.select([self._terminal], [], [], left)[0]:
                shown += os.read(self._terminal, 65_536)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
