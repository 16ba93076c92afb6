"""A provider of OpenID Connect on loopback, as a process: real tokens, and keys of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from services.ports import free_port
from services.processes import wait_for

REDIRECT = "http://127.0.0.1:1/back"
"""Where the provider sends a browser; the tests only read it."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects).open


class OidcProvider:
    """`oidc-provider-mock`. Each start makes new keys; the address stays."""

    def __init__(self, *users: Mapping[str, object]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._users = users
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, *, max_age: int = 3_600) -> None:
        """Serves from now on, with keys that it did not have before."""
        users = [f"--user-claims={json.dumps(user)}" for user in self._users]
        options = ["--port", str(self.port), "--token-max-age", str(max_age)]
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", *options, *users],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers)

    def stop(self) -> None:
        """Serves no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def id_token(self, user: str, *, audience: str = "registry") -> str:
        """A token that the provider has signed for a client: what `aud` says."""
        asked = {
            "client_id": audience,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid profile email",
        }
        url = f"{self.url}/oauth2/authorize?{urllib.parse.urlencode(asked)}"
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(self.back(url, user)).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        secret = base64.b64encode(f"{audience}:any".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}/oauth2/token",
            urllib.parse.urlencode(form).encode(),
            {"authorization": f"Basic {secret}"},
        )
        with _open(request) as answer:
            token: str = json.load(answer)["id_token"]
            return token

    def back(self, url: str, user: str) -> str:
        """Where the provider sends a browser whose user has said yes at an authorization URL."""
        form = urllib.parse.urlencode({"sub": user}).encode()
        try:
            with _open(urllib.request.Request(url, form)):
                raise AssertionError("the provider sends nobody back")
        except urllib.error.HTTPError as error:
            with error:
                return str(error.headers["location"])

    def keys(self) -> list[dict[str, Any]]:
        """The public keys of the provider."""
        with _open(f"{self.url}/jwks") as answer:
            found: list[dict[str, Any]] = json.load(answer)["keys"]
            return found

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), _open(f"{self.url}/jwks"):
            return True
        return False
