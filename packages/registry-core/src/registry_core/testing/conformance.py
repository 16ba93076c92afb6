"""`StoreTests`: everything that a store promises, as one test class to subclass."""

from __future__ import annotations

from registry_core.testing.ages import AgeTests
from registry_core.testing.aliases import AliasTests
from registry_core.testing.approvals import ApprovalTests
from registry_core.testing.concurrency import ConcurrencyTests
from registry_core.testing.durability import DurabilityTests
from registry_core.testing.gates import GateTests
from registry_core.testing.idempotency import IdempotencyTests
from registry_core.testing.limits import LimitTests
from registry_core.testing.model_versions import ModelVersionTests
from registry_core.testing.paging import PagingTests
from registry_core.testing.registered_models import RegisteredModelTests
from registry_core.testing.searching import SearchTests
from registry_core.testing.tags import TagTests
from registry_core.testing.webhooks import WebhookTests


class StoreTests(
    RegisteredModelTests,
    ModelVersionTests,
    AliasTests,
    TagTests,
    ApprovalTests,
    GateTests,
    LimitTests,
    WebhookTests,
    SearchTests,
    PagingTests,
    ConcurrencyTests,
    IdempotencyTests,
    DurabilityTests,
    AgeTests,
):
    """Every promise of `registry_core.store.Store`."""
