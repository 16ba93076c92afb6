"""The acceptance tests, with registries that MLflow reaches through the plug-in.

They are those of `tests/acceptance`, which MLflow's own registry passes, too; only the fixtures
differ. What needs more than one server, or a server of ours, is left out.
"""

from __future__ import annotations

from acceptance.test_acceptance_model_versions import *  # noqa: F403
from acceptance.test_acceptance_prompts import *  # noqa: F403
from acceptance.test_acceptance_registered_models import *  # noqa: F403
from acceptance.test_acceptance_search import *  # noqa: F403
from acceptance.test_acceptance_webhooks import *  # noqa: F403
