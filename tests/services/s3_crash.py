"""A process that dies at one of its requests to a bucket."""

from __future__ import annotations

from registry_core.stores.s3.store import S3Store


class CrashError(BaseException):
    """The process is gone: no handler of ours may catch this."""


class Crash:
    """Stops a store at its nth request from now on."""

    def __init__(self, store: S3Store, number: int) -> None:
        self._left = number
        store.observe(self)

    def __call__(self, operation: str, key: str) -> None:
        if self._left == 0:
            raise CrashError(f"{operation} {key}")
        self._left -= 1
