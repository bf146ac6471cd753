"""What each fetcher has to do: collected from the decisions about its connections, written when it changed.

A fetcher serves many connections, so its ConfigMap and Deployment are a key of the work queue of their own. `seq` moves
with every mail and is only for noticing that Redis went back: it is told together with other changes, at most once an
hour by itself, and at once only if a store was found to lie behind it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_operator import index, names, plan
from mailfetch_operator.api.children import Children
from mailfetch_operator.api.kinds import CONFIG_MAP, POD
from mailfetch_operator.cache import Cache
from mailfetch_operator.model import Config, Connection, FetcherKey, Key, Refusal
from mailfetch_operator.reports import Reports

logger = logging.getLogger(__name__)

RENEW = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What this process last decided about a connection.

    Attributes:
        told: Its assignment as its fetcher is told.
        newest: The same with the newest `seq`.
    """

    uid: str
    fetcher: FetcherKey | None
    told: Assignment | None
    newest: Assignment | None


@dataclass(kw_only=True)
class Fetchers:
    """Remembers what connections have to do.

    Attributes:
        add: Puts a key into the work queue.
        place: Which fetcher runs a connection.
        same_pool: All connections that want to be served by a fetcher.
    """

    cache: Cache
    children: Children
    reports: Reports
    config: Config
    add: Callable[[Key], None]
    now: Callable[[], datetime]
    place: Callable[[Connection], FetcherKey | Refusal]
    same_pool: Callable[[str, str], Sequence[Connection]]

    def __post_init__(self) -> None:
        self._planned: dict[Key, Planned] = {}
        self._renewed: dict[FetcherKey, datetime] = {}
        self._read: dict[FetcherKey, tuple[str, dict[str, Assignment]]] = {}

    def refused(self, namespace: str) -> list[Key]:
        """The connections of a namespace that no fetcher has room for."""
        return [key for key, planned in self._planned.items() if key.namespace == namespace and not planned.fetcher]

    def assign(
        self, key: Key, connection: Connection, fetcher: FetcherKey | None, wanted: Assignment | None, *, insist: bool
    ) -> None:
        """Takes a decision; `insist`: a higher `seq` is worth a change of its own."""
        before = self._planned.get(key)
        told = before.told if before else self._live(fetcher).get(connection.uid)
        if wanted and told and fetcher and wanted == msgspec.structs.replace(told, seq=wanted.seq):
            behind = told.seq < wanted.seq
            if not (behind and (insist or self._stale(fetcher))):
                after = Planned(uid=connection.uid, fetcher=fetcher, told=told, newest=wanted)
                self._put(key, before, after)
                return
        self._put(key, before, Planned(uid=connection.uid, fetcher=fetcher, told=wanted, newest=wanted))

    def forget(self, key: Key) -> str:
        """The connection is gone; returns its UID, if it was known."""
        before = self._planned.pop(key, None)
        if before and before.fetcher:
            self.add(Key("fetcher", before.fetcher.namespace, before.fetcher.name))
        return before.uid if before else ""

    def busy(self, connection: Connection) -> str:
        """Why a fetcher may still run a connection that was taken from it; empty: none does."""
        running = (connection.status.get("placement") or {}).get("fetcher", "")
        for name in sorted({index.wanted_fetcher(connection), running} - {""}):
            fetcher = FetcherKey(namespace=connection.namespace, name=name)
            if connection.uid in self._live(fetcher):
                return f"Its fetcher {name} is being told to stop."
            pods = self.cache.find(index.by_label(POD.kind, connection.namespace, names.FETCHER_LABEL, name))
            if not any((pod.get("status") or {}).get("phase") == "Running" for pod in pods):
                continue
            view = self.reports.view(fetcher, connection.name)
            if view.age is None or (view.report and view.report.uid == connection.uid):
                return f"Its fetcher {name} has not confirmed yet that it stopped."
        return ""

    async def work(self, fetcher: FetcherKey) -> None:
        """Makes ConfigMap and Deployment what they should be, or deletes them.

        Raises:
            ApiError: refused.
        """
        members, undecided = self._members(fetcher)
        if undecided and not members:
            return  # nothing is known yet; the connections come first and bring us here again
        owners = [owner for owner, _ in members]
        decided = plan.plan_fetcher(fetcher, [p.told for _, p in members if p.told], owners, self.config)
        if decided.delete:
            await self.children.remove_fetcher(fetcher.namespace, fetcher.name)
            self.reports.fetcher_gone(fetcher)
            self._renewed.pop(fetcher, None)
            self._read.pop(fetcher, None)
            return
        if not all(self.children.current(manifest) for manifest in decided.apply):
            decided = plan.plan_fetcher(fetcher, self._renew(fetcher, members), owners, self.config)
        for manifest in decided.apply:
            digest = await self.children.ensure(manifest)
            if manifest["kind"] == CONFIG_MAP.kind:
                await self.children.refresh_mounts(fetcher.namespace, fetcher.name, digest)

    def _put(self, key: Key, before: Planned | None, after: Planned) -> None:
        self._planned[key] = after
        if before and replace(before, newest=after.newest) == after:
            return
        for one in {before.fetcher if before else None, after.fetcher}:
            if one:
                self.add(Key("fetcher", one.namespace, one.name))

    def _stale(self, fetcher: FetcherKey) -> bool:
        now = self.now()
        return now - self._renewed.setdefault(fetcher, now) >= RENEW

    def _renew(self, fetcher: FetcherKey, members: Sequence[tuple[Connection, Planned]]) -> list[Assignment]:
        """It is written anyway, so everything in it is the newest."""
        self._renewed[fetcher] = self.now()
        for connection, planned in members:
            key = Key("connection", connection.namespace, connection.name)
            if self._planned.get(key) is planned:
                self._planned[key] = replace(planned, told=planned.newest)
        return [planned.newest for _, planned in members if planned.newest]

    def _members(self, fetcher: FetcherKey) -> tuple[list[tuple[Connection, Planned]], bool]:
        """The connections that have something to do in the fetcher, and whether any is not decided yet.

        One that this process did not decide about yet keeps what the ConfigMap says, so that a restarting operator
        neither stops mailboxes nor waits for all of them.
        """
        members, undecided = [], False
        live = self._live(fetcher)
        for connection in self.same_pool(fetcher.namespace, fetcher.name):
            planned = self._planned.get(Key("connection", connection.namespace, connection.name))
            if not (planned and planned.uid == connection.uid):
                if self.place(connection) != fetcher:
                    continue
                undecided = True
                found = live.get(connection.uid)
                planned = Planned(uid=connection.uid, fetcher=fetcher, told=found, newest=found)
            if planned.fetcher == fetcher and planned.told:
                members.append((connection, planned))
        return members, undecided

    def _live(self, fetcher: FetcherKey | None) -> dict[str, Assignment]:
        """What the ConfigMap says now, by UID."""
        if fetcher is None:
            return {}
        config_map = self.cache.get(CONFIG_MAP.kind, fetcher.namespace, fetcher.name) or {}
        text = (config_map.get("data") or {}).get(contract.FILE_NAME, "")
        known = self._read.get(fetcher)
        if known is None or known[0] is not text:
            known = self._read[fetcher] = (text, _by_uid(text, fetcher))
        return known[1]


def _by_uid(text: str, fetcher: FetcherKey) -> dict[str, Assignment]:
    try:
        return {one.uid: one for one in contract.decode(text).connections} if text else {}
    except (ValueError, RecursionError):
        logger.warning("ConfigMap %s/%s is unreadable and is written anew", fetcher.namespace, fetcher.name)
        return {}
