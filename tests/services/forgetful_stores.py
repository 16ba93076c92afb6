"""Stores that are wrong once time has passed, or a clock was set back, and right within a second.

Only the part of the kit that moves the clocks notices them; see `buggy_stores`.
"""

from __future__ import annotations

import json
import time

from registry_core.changes import CreateModel, DeleteModel, RenameModel
from registry_core.errors import AlreadyExistsError, InvalidArgumentError, StoreUnavailableError
from registry_core.models import Status
from registry_core.search import Page
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ages
from services.buggy_stores import Editable, caught_by
from services.method_store import MethodStore
from services.pickled_store import PickledStore

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@caught_by(ages.AgeTests)
class ForgetsTakenNames(PickledStore):
    """What a create has to know, a journal tells that holds a minute or eight changes."""

    def apply(self, change, *, by):
        try:
            return super().apply(change, by=by)
        except AlreadyExistsError:
            if not isinstance(change, CreateModel):
                raise
            found = self.get_registered_model(change.model)
            is_old = self._clock() - found.creation_timestamp > MINUTE
            changes = len(found.tags) + len(found.aliases) + len(found.latest_versions)
            if is_old and changes:
                raise StoreUnavailableError("too many others followed to tell") from None
            raise


@caught_by(ages.AgeTests)
class FreesNamesThatNobodyUses(MethodStore):
    """A lease on a name, renewed by each change, that ends after an hour."""

    def create_registered_model(self, new):
        found = self._documents.get(new.name)
        if found and self._clock() - found.last_updated_timestamp > HOUR:
            del self._documents[new.name]
        return super().create_registered_model(new)


@caught_by(ages.AgeTests)
class GivesUpPendingVersions(Editable):
    """A reaper that takes a slow upload for a dead one."""

    def finalize_model_version(self, name, version, **final):
        found = self.get_model_version(name, version)
        if self._clock() - found.creation_timestamp > DAY:
            self._edit_version(name, version, status=Status.FAILED_REGISTRATION)
        return super().finalize_model_version(name, version, **final)


@caught_by(ages.AgeTests)
class DropsOldVersions(MemoryStore):
    """A retention that nobody asked for."""

    def search_model_versions(self, query):
        page = super().search_model_versions(query)
        oldest = self._clock() - 30 * DAY
        rows = [row for row in page.items if row.last_updated_timestamp > oldest]
        return Page(rows, page.next_page_token)


@caught_by(ages.AgeTests)
class TokensExpire(MemoryStore):
    def __init__(self, clock):
        super().__init__(clock)
        self._issued = {}

    def search_registered_models(self, query):
        if self._clock() - self._issued.get(query.page_token, self._clock()) > 5 * MINUTE:
            raise InvalidArgumentError("The page token has expired")
        page = super().search_registered_models(query)
        self._issued[page.next_page_token] = self._clock()
        return page


@caught_by(ages.AgeTests)
class GoesByTheMachinesClock(PickledStore):
    """Its tombstones keep a name for a minute of the machine's time, and then for good."""

    def apply(self, change, *, by):
        deleted = self._path.with_suffix(".deleted")
        if isinstance(change, CreateModel) and deleted.exists():
            name, when = json.loads(deleted.read_text())
            if name == change.model and time.time() - when > 60:
                raise StoreUnavailableError("The name is being deleted")
        result = super().apply(change, by=by)
        if isinstance(change, DeleteModel):
            deleted.write_text(json.dumps([change.name, time.time()]))
        return result


@caught_by(ages.AgeTests)
class TheLatestTimeWins(MemoryStore):
    """Of two writes the one with the later time counts, as where replicas are merged."""

    def apply(self, change, *, by):
        before = self._content.models.get(change.model)
        is_later = before is None or self._clock() >= before.last_updated_timestamp
        if is_later or isinstance(change, CreateModel | DeleteModel | RenameModel):
            return super().apply(change, by=by)
        return change.result(before)


@caught_by(ages.AgeTests)
class RenamesBackWithinAnHour(MethodStore):
    """A redirect from the old name, which is dropped too late."""

    def __init__(self, clock):
        super().__init__(clock)
        self._redirects = {}

    def rename_registered_model(self, name, *, new_name):
        if self._clock() - self._redirects.get(new_name, self._clock()) > HOUR:
            raise AlreadyExistsError(new_name)
        renamed = super().rename_registered_model(name, new_name=new_name)
        self._redirects[name] = self._clock()
        return renamed


@caught_by(ages.AgeTests)
class CachesUntilAMoment(PickledStore):
    """A cache whose entries end at a moment by the clock: set that back, and they do not end."""

    def get_registered_model(self, name):
        cache = self.__dict__.setdefault("_cached", {})
        found, until = cache.get(name, (None, 0))
        if self._clock() >= until:
            found = self._call("get_registered_model", name)
            cache[name] = found, self._clock()
        return found


@caught_by(ages.AgeTests)
class DisablesIdleWebhooks(MemoryStore):
    def list_webhooks(self):
        oldest = self._clock() - 7 * DAY
        return [hook for hook in super().list_webhooks() if hook.last_updated_timestamp > oldest]
