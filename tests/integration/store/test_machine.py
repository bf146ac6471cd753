"""The store under random interleavings: two fetchers, crashes, lost replies, take-overs, consumers, resets.

Each step is judged by an independent model of what Redis may hold (I1–I15 of the store's specification, as far as they
show in Redis). MAILFETCH_MACHINE_EXAMPLES runs more than the few of `make test`, MAILFETCH_SEED other ones.
"""

import contextlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mailfetch_fetcher.store.model import WantedAction
from tests.integration.store import machine_tasks as tasks
from tests.integration.store.machine_provider import TWIN, Item
from tests.integration.store.machine_view import STREAM
from tests.integration.store.machine_world import CONNECTIONS, FAULTS, GROUP, PODS, Refused, Session, World
from tests.servers.redis import Kind, RedisServer

EXAMPLES = int(os.environ.get("MAILFETCH_MACHINE_EXAMPLES") or 25)
SEED = int(os.environ.get("MAILFETCH_SEED") or 1)
STEPS = 60
CONSUMERS = ("c1", "c2")
ACTIONS = (None, WantedAction(kind="MarkSeen"), WantedAction(kind="Delete"), WantedAction(kind="Move", folder="Done"))
DELETE = WantedAction(kind="Delete")

pods, connections = st.sampled_from(PODS), st.sampled_from(CONNECTIONS)
few = st.integers(1, 4)
# Most steps go well, or nothing would ever get far.
faults = st.one_of(st.just(""), st.just(""), st.sampled_from(FAULTS))
places = st.integers(0, 4000)
stops = st.sampled_from(["", "", "", "before", "after"])


class StoreMachine(RuleBasedStateMachine):
    """The steps. `server` is set by the test."""

    server: RedisServer

    @initialize()
    def begin(self) -> None:
        self.world = World(self.server)
        self.serials = itertools.count(1)
        self.refetches = itertools.count(1)
        self.value = "uid:1#0"

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                if sys.exc_info()[0] is None:  # else a step has failed already
                    self._finish()
            finally:
                self.world.close()

    # -- mail servers ----------------------------------------------------------------------

    @rule(connection=connections, count=few, kinds=st.lists(st.integers(0, 9), min_size=4, max_size=4))
    def mails_arrive(self, connection: str, count: int, kinds: list[int]) -> None:
        for kind in kinds[:count]:
            self._arrive(connection, kind)

    def _arrive(self, connection: str, kind: int) -> None:
        serial = next(self.serials)
        twin = connection == "inbox" and kind == 9
        action = ACTIONS[kind % 4] if connection == "inbox" else DELETE
        made = Item(
            serial=serial,
            identity=TWIN if twin else b"<%d@example.com>" % serial,
            large=kind == 8,
            unreadable=kind == 7,
            action=ACTIONS[1] if twin else action,
            uidl=f"u{serial}",
        )
        self.world.providers[connection].add(made)

    @rule(connection=connections, which=st.integers(0, 20))
    def others_remove_a_mail(self, connection: str, which: int) -> None:
        provider = self.world.providers[connection]
        present = [item for _, item in provider.present() if item.identity != TWIN]
        if present:
            provider.remove(present[which % len(present)], who="others")

    @rule()
    def mails_are_numbered_anew(self) -> None:
        """The server cuts the sessions that have the folder open."""
        provider = self.world.providers["inbox"]
        provider.renumber(provider.uid_validity + 7)
        for session in [s for s in self.world.sessions.values() if s.connection == "inbox"]:
            self.world.end(session)

    # -- fetchers --------------------------------------------------------------------------

    @rule(pod=pods, connection=connections, count=few, fault=faults, at=places)
    def download(self, pod: str, connection: str, count: int, fault: str, at: int) -> None:
        self._work(pod, connection, fault, at, lambda session: tasks.download(self.world, session, count))

    @rule(pod=pods, connection=connections, count=few, fault=faults, at=places, group=st.booleans(), stop=stops)
    def act(self, pod: str, connection: str, count: int, fault: str, at: int, group: bool, stop: str) -> None:
        name = GROUP if group and connection == "inbox" else ""
        self._work(pod, connection, fault, at, lambda s: tasks.act(self.world, s, count, group=name, stop=stop))

    @rule(pod=pods, connection=connections, fault=faults, at=places)
    def trim(self, pod: str, connection: str, fault: str, at: int) -> None:
        self._work(pod, connection, fault, at, lambda session: tasks.trim(self.world, session))

    @rule(pod=pods, fault=faults, at=places)
    def prune(self, pod: str, fault: str, at: int) -> None:
        self._work(pod, "pop", fault, at, lambda session: tasks.prune(self.world, session))

    @rule(pod=pods, connection=connections, fault=faults, at=places)
    def a_quarantined_mail_can_be_read(self, pod: str, connection: str, fault: str, at: int) -> None:
        self._work(pod, connection, fault, at, lambda session: tasks.heal(self.world, session))

    @rule(pod=pods, count=few, fault=faults, at=places, fresh=st.booleans())
    def refetch(self, pod: str, count: int, fault: str, at: int, fresh: bool) -> None:
        if fresh:
            self.value = f"uid:1#{next(self.refetches)}"
        self._work(pod, "inbox", fault, at, lambda session: tasks.refetch(self.world, session, count, self.value))

    @rule(pod=pods, connection=connections, release=st.booleans())
    def session_ends(self, pod: str, connection: str, release: bool) -> None:
        if session := self.world.sessions.get((pod, connection)):
            self.world.end(session, release=release)

    @rule(pod=pods)
    def fetcher_is_killed(self, pod: str) -> None:
        self.world.kill(pod)

    @rule(connection=connections)
    def lease_runs_out(self, connection: str) -> None:
        """Whoever held it may live on and not know."""
        self.world.client.delete(self.world.keys[connection].lease)

    def _work(self, pod: str, connection: str, fault: str, at: int, task: Callable[[Session], None]) -> None:
        """A task of a session; where the mails were numbered anew it walks on instead, one step each time."""
        with contextlib.suppress(Refused), self.world.fault(pod, fault, at):
            session = self.world.session(pod, connection)
            if tasks.must_walk(self.world, session):
                tasks.walk_on(self.world, session)
            else:
                task(session)

    # -- consumers -------------------------------------------------------------------------

    @rule(consumer=st.sampled_from(CONSUMERS), count=few)
    def consumer_reads(self, consumer: str, count: int) -> None:
        with _no_group():
            for _, entries in self.world.client.xreadgroup(GROUP, consumer, {STREAM.queue: ">"}, count=count):
                self.world.handed |= {entry.decode() for entry, _ in entries}

    @rule(count=few)
    def consumer_acknowledges(self, count: int) -> None:
        with _no_group():
            for one in self.world.client.xpending_range(STREAM.queue, GROUP, "-", "+", count):
                self.world.client.xack(STREAM.queue, GROUP, one["message_id"])

    @rule(consumer=st.sampled_from(CONSUMERS))
    def consumer_claims(self, consumer: str) -> None:
        with _no_group():
            self.world.client.xautoclaim(STREAM.queue, GROUP, consumer, 0)

    @rule(consumer=st.sampled_from(CONSUMERS))
    def consumer_leaves(self, consumer: str) -> None:
        """What was pending counts as acknowledged from now on; that is documented."""
        with _no_group():
            self.world.client.xgroup_delconsumer(STREAM.queue, GROUP, consumer)

    @rule(which=st.integers(0, 20))
    def consumer_deletes_what_it_acknowledged(self, which: int) -> None:
        if entries := sorted(self.world.observer.acknowledged(GROUP)):
            self.world.client.xdel(STREAM.queue, entries[which % len(entries)])

    @rule(start=st.sampled_from(["0", "$"]))
    def group_is_made_anew(self, start: str) -> None:
        """By people: nothing that was read before proves anything any more."""
        with _no_group():
            if self.world.client.xgroup_destroy(STREAM.queue, GROUP):
                self.world.client.xgroup_create(STREAM.queue, GROUP, start)
                self.world.handed.clear()

    # -- Redis -----------------------------------------------------------------------------

    @rule()
    def redis_is_killed(self) -> None:
        """`appendfsync always`: all that was answered is there again; every connection is gone."""
        self.server.kill()
        self.server.start()

    # -- judging ---------------------------------------------------------------------------

    @invariant()
    def nothing_changed_behind_our_back(self) -> None:
        for connection in CONNECTIONS if hasattr(self, "world") else ():
            self.world.check(connection, (self.world.model[connection],))

    def _finish(self) -> None:
        """Everything heals: then all mails are there, each once."""
        for pod in PODS:
            self.world.kill(pod)
        for connection in CONNECTIONS:
            self.lease_runs_out(connection)
            session = self.world.session(PODS[0], connection)
            tasks.catch_up(self.world, session)
            judge(self.world, connection)
        judge_blobs(self.world)


def judge(world: World, connection: str) -> None:
    """The end of a run, for one mailbox."""
    view, provider = world.model[connection], world.providers[connection]
    stored = {serial for serial, mark in view.stored if not mark}
    for uid, item in provider.present():
        if item.unreadable and item.serial not in stored:
            assert provider.ref(uid) in view.quarantine, f"mail {item.serial} is neither stored nor in quarantine"
        else:
            assert item.serial in stored, f"mail {item.serial} is lost"
    for item in provider.items.values():
        assert item.removed != "us" or item.serial in stored, f"mail {item.serial} was removed, but is not stored"
        assert item.moved <= 1, f"mail {item.serial} was copied {item.moved} times"
    assert not view.outbox
    entries = {e.entry for e in world.observer.history.values() if e.connection == connection}
    lines = world.observer.log("Succeeded")
    logged = [line["entry"] for line in lines if line["step"] == "stored" and line["connection"] == connection]
    assert sorted(logged) == sorted(entries)
    assert int(world.client.hget(world.keys[connection].stats, "messages") or 0) == len(entries)
    settled = Counter(
        line["entry"]
        for r in ("Succeeded", "Dropped", "Unproven")
        for line in world.observer.log(r)
        if line["category"] == "AfterDownload"
    )
    assert max(settled.values(), default=1) == 1, "an action was carried out twice"


def judge_blobs(world: World) -> None:
    """The bodies of large mails: those of entries, and none else but what goes by itself."""
    for key in world.client.keys(STREAM.blob("*")):
        wanted = any(e.blob == key.decode() for e in map(world.observer.history.get, world.observer.there) if e)
        assert wanted or world.client.pttl(key) > 0, f"{key!r} stays for ever"


@contextlib.contextmanager
def _no_group() -> Iterator[None]:
    """There is no stream or no group yet."""
    try:
        yield
    except redis.ResponseError as e:
        if not str(e).startswith("NOGROUP") and "no such key" not in str(e) and "requires the key" not in str(e):
            raise


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_random_interleavings(kind: Kind) -> None:
    print(f"MAILFETCH_SEED={SEED} MAILFETCH_MACHINE_EXAMPLES={EXAMPLES}")
    with RedisServer(kind=kind, appendfsync="always") as running:

        @with_seed(SEED)
        class Machine(StoreMachine):
            server = running

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
