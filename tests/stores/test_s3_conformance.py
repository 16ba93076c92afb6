"""The S3 store keeps every promise of a store, on a real S3 server."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator

import pytest

from registry_core.store import Clock, Store
from registry_core.stores.s3 import open_store, retry
from registry_core.testing import ManualClock, OutageTests, StatefulTests, StoreTests
from services.examples import examples
from services.s3 import S3Server, bucket_name, launch, store_url

pytestmark = pytest.mark.usefixtures("found_out")


class TestS3Store(StoreTests):
    @pytest.fixture
    def backend(self, s3_url: str, clock: ManualClock) -> Iterator[Store]:
        store = open_store(s3_url, clock=clock)
        yield store
        store.close()

    @pytest.fixture
    def reopen(self, s3_url: str, clock: ManualClock) -> Callable[[], Store]:
        return functools.partial(open_store, s3_url, clock=clock)

    @pytest.fixture
    def opener(self, s3_url: str) -> Callable[[], Store]:
        return functools.partial(open_store, s3_url)


class TestS3StoreMachine(StatefulTests):
    max_examples = examples(25, gate=3)
    steps = 15

    @pytest.fixture
    def make_store(self, s3_url: str) -> Callable[[Clock], Store]:
        base, query = s3_url.split("?")
        numbers = itertools.count()
        return lambda clock: open_store(f"{base}/{next(numbers)}?{query}", clock=clock)


@pytest.fixture(scope="module")
def mortal_s3() -> Iterator[S3Server]:
    """A server of our own, whatever the others use."""
    with contextlib.ExitStack() as stack:
        server = launch(stack)
        client = server.client()
        client.create_bucket(Bucket=bucket_name())
        client.close()
        yield server


class TestS3StoreInAnOutage(OutageTests):
    """The server is killed, and started again on its data."""

    @pytest.fixture
    def backend(
        self, mortal_s3: S3Server, s3_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Store]:
        for variable, value in mortal_s3.environment().items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(retry, "UNREACHABLE_SECONDS", 0.2)
        store = open_store(store_url(mortal_s3.endpoint_url, s3_prefix))
        yield store
        store.close()

    @pytest.fixture
    def outage(self, mortal_s3: S3Server) -> Callable[[], contextlib.AbstractContextManager[None]]:
        @contextlib.contextmanager
        def outage() -> Iterator[None]:
            mortal_s3.kill()
            try:
                yield
            finally:
                mortal_s3.start()

        return outage
