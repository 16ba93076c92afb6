"""The kit that tests every store, for authors of stores.

A backend's test file subclasses `StoreTests` and supplies fixtures:

    class TestMyStore(StoreTests):
        @pytest.fixture
        def backend(self, clock, tmp_path):
            return MyStore(tmp_path, clock)

        @pytest.fixture
        def reopen(self, clock, tmp_path):
            return lambda: MyStore(tmp_path, clock)

        @pytest.fixture
        def opener(self, tmp_path):
            return functools.partial(MyStore, tmp_path)

`registry_core.testing.cases` says what each of them is, and how a difference is declared. The clock
is the kit's: it stands still until a test moves it, by a millisecond or by months.
`StatefulTests` compares a store with the memory store over random steps, and `OutageTests` is for
stores whose backend can be away.
"""

import importlib
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry_core.testing.clocks import ManualClock
    from registry_core.testing.conformance import StoreTests
    from registry_core.testing.outages import OutageTests
    from registry_core.testing.stateful import StatefulTests

__all__ = ["ManualClock", "OutageTests", "StatefulTests", "StoreTests"]

_MODULES = {
    "ManualClock": "clocks",
    "OutageTests": "outages",
    "StatefulTests": "stateful",
    "StoreTests": "conformance",
}

# Strategy: the processes that the kit starts import this package to find their work. They need
# neither pytest nor hypothesis, which take longer to load than the work takes, so names load late.
if "pytest" in sys.modules:
    import pytest

    # Before any module is imported, or a failed assertion would not show what it compared.
    _names = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    pytest.register_assert_rewrite(*_names)


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
