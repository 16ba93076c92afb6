"""`Access`: who calls, and what the caller may do, by a file that is read anew when it changes.

Strategy: what the file says is one value, which is replaced as a whole. A file that cannot be used
changes nothing, and the log says why. Each worker looks at the file by itself, once a second: that
is a question to the kernel, and needs no signal to reach all of them.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TypeAlias

import attrs

from registry_core.access import AccessFile, Principal, Rights, parse
from registry_core.errors import RegistryError
from registry_core.gating import Gates
from registry_server.access.callers import Caller
from registry_server.access.credentials import Credentials, read_private
from registry_server.access.issuers import (
    BadTokenError,
    Issuers,
    Proven,
    load_library,
    looks_signed,
)
from registry_server.access.sessions import COOKIE, KEY_MIN_LENGTH, Session, Sessions
from registry_server.access.users import Users, unauthenticated
from registry_server.process.settings import Settings, SettingsError

LOOK_SECONDS = 1.0
"""How often each worker looks whether the file has changed."""

Headers: TypeAlias = Mapping[bytes, bytes]
_Signature: TypeAlias = tuple[int, ...] | None

_logger = logging.getLogger("registry_server")


@attrs.frozen
class Identity:
    """A caller who has proved a name."""

    name: str
    rights: Rights | None = None
    """None where every caller may do everything."""


@attrs.frozen(eq=False)
class _State:
    """What an access file says, and the identities of its users."""

    file: AccessFile
    _known: dict[str, Identity] = attrs.field(factory=dict, init=False)

    def of_user(self, name: str) -> Identity:
        """Return the identity of a user of the file."""
        caller = self._known.get(name)
        if caller is None:
            user = self.file.users[name]
            caller = self._known[name] = self.of(Principal(name=name, groups=user.groups))
        return caller

    def of_issuer(self, url: str, principal: Principal) -> Identity:
        """Return the identity of somebody whom an issuer has proved.

        Raises:
            BadTokenError: The issuer is not in the file, or the name is somebody else's.
        """
        issuer = next((each for each in self.file.issuers if each.issuer == url), None)
        if issuer is None:
            raise BadTokenError("its issuer is not known here")
        # An issuer with a short prefix, or none, could prove the names of others.
        others = tuple(
            each.prefix for each in self.file.issuers if len(each.prefix) > len(issuer.prefix)
        )
        if principal.name in self.file.users or principal.name.startswith(others):
            raise BadTokenError("its name is somebody else's here")
        groups = frozenset(each for each in principal.groups if not each.startswith(others))
        return self.of(Principal(name=principal.name, groups=groups))

    def of(self, principal: Principal) -> Identity:
        """Return the identity of anybody who was proved."""
        return Identity(principal.name, self.file.policy.rights(principal))


class Access:
    """Who may call a server that asks for names. `identify` belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Read the file that the settings name.

        Raises:
            SettingsError: It cannot be used.
        """
        self._path = settings.access_file
        self._state: _State | None = None
        self._gates: Gates | None = None
        self._seen: _Signature = None
        self._looking = threading.Lock()
        self.sessions = Sessions(_session_key(settings.session_key))
        self._watcher: threading.Thread | None = None
        self._ended = threading.Event()
        if self._path is None:
            assert settings.auth_file is not None, "there is something to ask"
            self.users = Users.load(settings.auth_file)
            self.issuers = Issuers(())
            return
        self._seen = _signature(self._path)
        self._state = _State(_loaded(self._path))
        self.users = Users(_credentials(self._state.file, self._path))
        self.issuers = Issuers(self._state.file.issuers)

    @classmethod
    def of(cls, settings: Settings) -> Access | None:
        """Return who may call, by the settings; None where anybody may.

        Raises:
            SettingsError: A file that they name cannot be used.
        """
        if settings.access_file and settings.auth_file:
            raise SettingsError(
                "--access-file and --auth-file cannot both be given: a user of the access file has "
                "a password or a token there"
            )
        return cls(settings) if settings.access_file or settings.auth_file else None

    @property
    def has_sessions(self) -> bool:
        """Whether browsers sign in by a page: where there is an access file."""
        return self._state is not None

    # Who calls

    async def identify(self, headers: Headers, caller: Caller, *, is_page: bool) -> Identity:
        """Return the caller that the headers of a request prove.

        Args:
            headers: The first of each name.
            caller: Where the request comes from.
            is_page: Whether a session counts: it does for pages alone, whose forms say that they
                come from one.

        Raises:
            RequestRefusedError: They prove none.
        """
        header = headers.get(b"authorization")
        if header is None and is_page and self.has_sessions:
            session = self.session_of(headers.get(b"cookie", b""))
            if session is not None:
                return session
        if header is not None and not self.issuers.is_empty:
            scheme, _, token = header.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and looks_signed(token.strip()):
                return await self.of_token(token.strip(), caller)
        return self._of_user(await self.users.authenticate(header, caller))

    async def of_token(self, token: str, caller: Caller) -> Identity:
        """Return the caller that a token of an issuer proves.

        Raises:
            RequestRefusedError: It proves none, or its issuer cannot be asked.
        """
        assert self._state is not None, "only an access file has issuers"
        try:
            proven = await self.issuers.verify(token)
            return self._state.of_issuer(proven.issuer, proven.principal)
        except BadTokenError as error:
            _logger.warning("a wrong token from %s: %s", caller.address, error)
            raise unauthenticated() from None

    def session_of(self, cookie: bytes) -> Identity | None:
        """Return the caller whom the session in a Cookie header is of; None if it is nobody's."""
        if self._state is None or COOKIE.encode() not in cookie:
            return None
        try:
            value = SimpleCookie(cookie.decode("latin-1"))[COOKIE].value
        except (CookieError, KeyError):
            return None
        session = self.sessions.read(value)
        return None if session is None else self._of_session(session, self._state)

    def begin_session(self, name: str, secret: str) -> str | None:
        """Return the cookie of a session for a user of the file, who has shown the secret."""
        digest = self.users.proof_of(name, secret)
        session = Session(
            name=name, origin=self.sessions.fingerprint(digest), expires=self.sessions.ends()
        )
        return self.sessions.cookie(session)

    def session_for(self, proven: Proven) -> str | None:
        """Return the cookie of a session for whom an issuer's token has proved.

        Raises:
            BadTokenError: The name is somebody else's.
        """
        assert self._state is not None, "only an access file has issuers"
        principal = proven.principal
        self._state.of_issuer(proven.issuer, principal)
        session = Session(
            name=principal.name,
            groups=tuple(sorted(principal.groups)),
            origin=proven.issuer,
            expires=min(int(proven.expires), self.sessions.ends()),
        )
        return self.sessions.cookie(session)

    def _of_session(self, session: Session, state: _State) -> Identity | None:
        if any(each.issuer == session.origin for each in state.file.issuers):
            try:
                return state.of_issuer(
                    session.origin, Principal(name=session.name, groups=frozenset(session.groups))
                )
            except BadTokenError:
                return None
        user = state.file.users.get(session.name)
        if user is None:
            return None
        proofs = self.users.credentials.proofs_of(session.name)
        if session.origin not in map(self.sessions.fingerprint, proofs):
            return None
        return state.of_user(session.name)

    def _of_user(self, name: str) -> Identity:
        state = self._state
        if state is None:
            return Identity(name)
        if name not in state.file.users:
            raise unauthenticated()  # The file was replaced while the secret was compared.
        return state.of_user(name)

    # What the file says by now

    def start(self, gates: Gates) -> None:
        """Look at the file from now on, whenever it changes; its gates are those of a registry."""
        self._gates = gates
        self._set_gates()
        if self._path is not None and self._watcher is None:
            self.look()
            self._watcher = threading.Thread(target=self._watch, name="access-file", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()
        self.issuers.close()
        self.users.close()

    def look(self) -> bool:
        """Read the file if it has changed since it was read last; whether it is in force by now."""
        if self._path is None:
            return False
        # One at a time: the older of two files must not be put in force after the newer one.
        # A thread that looks already looks again at its end.
        if not self._looking.acquire(blocking=False):
            return False
        try:
            is_new = False
            while (signature := _signature(self._path)) != self._seen:
                self._seen = signature
                is_new = self._take(self._path)
            return is_new
        finally:
            self._looking.release()

    def _take(self, path: str) -> bool:
        """Put what the file says in force, all of it or nothing; whether it is."""
        try:
            state = _State(_loaded(path))
            credentials = _credentials(state.file, path)
            if state.file.issuers:
                load_library()
        except (SettingsError, RegistryError) as error:
            _logger.error("the access file has changed and is not used: %s", error)  # noqa: TRY400
            return False
        # Users first: nobody is looked up in a file that does not have him.
        self.users.replace(credentials)
        self.issuers.replace(state.file.issuers)
        self._state = state
        self._set_gates()
        _logger.info("the access file %s is read anew", path)
        return True

    def _set_gates(self) -> None:
        if self._gates is not None and self._state is not None:
            self._gates.replace(self._state.file.gates)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                _logger.exception("the access file cannot be looked at")


def _session_key(secret: str | None) -> bytes:
    """What sessions are signed with: one's own where none is shared."""
    if not secret:
        return secrets.token_bytes(32)
    if len(secret) < KEY_MIN_LENGTH:
        raise SettingsError(f"REGISTRY_SESSION_KEY has fewer than {KEY_MIN_LENGTH} characters")
    return secret.encode()


def _loaded(path: str) -> AccessFile:
    return parse(read_private(path, kind="access").encode(), name=path)


def _credentials(file: AccessFile, path: str) -> Credentials:
    try:
        return Credentials.of_file(file)
    except (ValueError, TypeError, OverflowError):  # scrypt refuses numbers in many ways
        raise SettingsError(f"{path}: a password has parameters that scrypt refuses") from None


def _signature(path: str) -> _Signature:
    """What changes when the file does, also when another one takes its place."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
