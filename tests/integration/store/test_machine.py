"""The store under random interleavings: two fetchers, crashes, lost replies, take-overs, consumers, resets.

Each step is judged by an independent model of what Redis may hold (I1–I15 of the store's specification, as far as they
show in Redis). MAILFETCH_MACHINE_EXAMPLES runs more than the few of `make test`, MAILFETCH_SEED other ones.
"""

import contextlib
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as with_seed
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mailfetch_fetcher.store.model import WantedAction
from tests.integration.store import machine_tasks as tasks
from tests.integration.store import machine_walk as walk
from tests.integration.store.machine_choices import (
    CHANGING,
    CONSUMERS,
    CONSUMING,
    ENDING,
    OWNER,
    ZOMBIE,
    Work,
    connections,
    faults,
    few,
    places,
    pods,
    works,
)
from tests.integration.store.machine_judge import judge, judge_blobs
from tests.integration.store.machine_provider import TWIN, Item
from tests.integration.store.machine_view import STREAM
from tests.integration.store.machine_world import CONNECTIONS, GROUP, PODS, Refused, Session, World
from tests.servers.redis import Kind, RedisServer

EXAMPLES = int(os.environ.get("MAILFETCH_MACHINE_EXAMPLES") or 15)
SEED = int(os.environ.get("MAILFETCH_SEED") or 1)
STEPS = 50
EXPECTED = ("stored", "refetched", "walks", "trimmed", "fenced", "held", "killed", "pruned", "acknowledged", "unproven")
"""What must have happened in a whole run, or it shows nothing."""
ROUNDS = 6
"""Runs until all of it happened: what a seed makes depends on the code too (Hypothesis tries its constants)."""
ACTIONS = (None, WantedAction(kind="MarkSeen"), WantedAction(kind="Delete"), WantedAction(kind="Move", folder="Done"))
DELETE = WantedAction(kind="Delete")


class StoreMachine(RuleBasedStateMachine):
    """The steps. `server` is set by the test."""

    server: RedisServer
    happened: Counter[str]

    @initialize(acknowledged=st.sampled_from([True, True, False]))
    def begin(self, acknowledged: bool) -> None:
        """The actions of `inbox` wait for the consumer group, or do not."""
        self.group = GROUP if acknowledged else ""
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

    # -- rules: each works first, as hypothesis leaves out some of them in each run ---------

    @rule(work=works)
    def a_fetcher_works(self, work: Work) -> None:
        self._work(work)

    @rule(work=works, what=st.sampled_from(ENDING), pod=pods, connection=connections, fault=faults, at=places)
    def something_ends(self, work: Work, what: str, pod: str, connection: str, fault: str, at: int) -> None:
        """Processes, sessions, leases, Redis. Whoever held a lease that ran out may live on and not know."""
        self._work(work)
        session = self.world.sessions.get((pod, connection))
        if what == "kill":
            self.world.kill(pod)
        elif what == "take-over":
            with self.world.fault(pod, fault, at):
                self.world.take_over(connection)
        elif what == "Redis":
            self._restart()
        elif session:
            self.world.end(session, release=what == "release")

    @rule(work=works, what=st.sampled_from(CHANGING), connection=connections, which=st.integers(0, 20))
    def the_mailbox_changes(self, work: Work, what: str, connection: str, which: int) -> None:
        """By others, or by the server: that cuts the sessions which have the folder open."""
        self._work(work)
        provider = self.world.providers[connection]
        present = [item for _, item in provider.present() if item.identity != TWIN]
        if what == "remove" and present:
            provider.remove(present[which % len(present)], who="others")
        elif what == "number anew" and not walk.is_stale(self.world, "inbox"):
            provider = self.world.providers["inbox"]
            provider.renumber(provider.uid_validity + 7)
            for session in [s for s in self.world.sessions.values() if s.connection == "inbox"]:
                self.world.end(session)

    @rule(work=works, what=st.sampled_from(CONSUMING), consumer=st.sampled_from(CONSUMERS), count=few)
    def a_consumer_works(self, work: Work, what: str, consumer: str, count: int) -> None:
        """With "anew" somebody does what the documentation warns of."""
        self._work(work)
        client = self.world.client
        with _no_group():
            if what == "read":
                self._read(consumer, 2 * count)
            elif what == "claim":
                client.xautoclaim(STREAM.queue, GROUP, consumer, 0, count=count)
            elif what == "leave":  # what was pending counts as acknowledged
                client.xgroup_delconsumer(STREAM.queue, GROUP, consumer)
            elif what == "delete" and (entries := sorted(self.world.observer.acknowledged(GROUP))):
                client.xdel(STREAM.queue, entries[count % len(entries)])
            elif what.startswith("anew") and client.xgroup_destroy(STREAM.queue, GROUP):
                client.xgroup_create(STREAM.queue, GROUP, what.removeprefix("anew "))
                self.world.handed.clear()

    # -- what they do ----------------------------------------------------------------------

    def _work(self, work: Work) -> None:
        if work.what == "consume":
            self._consume(work.count)
        else:
            self._fetch(work)

    def _fetch(self, work: Work) -> None:
        """Where the mails were numbered anew the session walks on instead, one step each time."""
        if work.what.startswith("download"):
            for kind in work.kinds:
                self._arrive(work.connection, kind)
        with contextlib.suppress(Refused):
            session = self.world.session(self._named(work.pod, work.connection), work.connection)
            with self.world.fault(session.pod, work.fault, work.at):
                if walk.must_walk(self.world, session):
                    walk.walk_on(self.world, session)
                else:
                    self._task(work, session)

    def _task(self, work: Work, session: Session) -> None:
        """The word behind it is what happens before its end."""
        world = self.world
        if work.what.startswith("download"):
            world.stealing = work.what == "download stolen"
            try:
                tasks.download(world, session, work.count)
            finally:
                world.stealing = False
        elif work.what.startswith("act"):
            group = self.group if session.connection == "inbox" else ""
            tasks.act(world, session, work.count, group=group, stop=work.what.removeprefix("act").strip())
        elif work.what == "trim":
            tasks.trim(world, session)
        elif work.what == "prune":
            tasks.prune(world, session)
            if work.kinds[0] % 2:
                self._use_again(work.count)
        elif work.what == "heal":
            tasks.heal(world, session)
        else:
            if work.what == "refetch anew":
                self.value = f"uid:1#{next(self.refetches)}"
            tasks.refetch(world, session, work.count, self.value)

    def _read(self, consumer: str, count: int) -> None:
        for _, entries in self.world.client.xreadgroup(GROUP, consumer, {STREAM.queue: ">"}, count=count):
            self.world.handed |= {entry.decode() for entry, _ in entries}

    def _consume(self, count: int) -> None:
        """What consumers do all the time."""
        with _no_group():
            self._read(CONSUMERS[0], 2 * count)
            for one in self.world.client.xpending_range(STREAM.queue, GROUP, "-", "+", 2 * count):
                self.world.client.xack(STREAM.queue, GROUP, one["message_id"])

    def _named(self, pod: str, connection: str) -> str:
        """The pod that owns the state, or one that still believes it does (if there is one)."""
        owner = self.world.owner[connection]
        if pod == ZOMBIE:
            for session in self.world.sessions.values():
                if session.connection == connection and str(session.owner) != owner:
                    return session.pod
        return (owner.partition(" ")[0] or PODS[0]) if pod in (OWNER, ZOMBIE) else pod

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

    def _use_again(self, which: int) -> None:
        """A mail that looks like one that is gone and forgotten, under the same name: it is a new one all the same."""
        provider, view = self.world.providers["pop"], self.world.model["pop"]
        gone = [i for i in provider.items.values() if i.removed and view.stored and not self.world.knows(i)]
        names = {item.uidl for _, item in provider.present()}
        if free := [item for item in gone if item.uidl not in names]:
            old = free[which % len(free)]
            provider.add(replace(old, serial=next(self.serials), removed=""))

    def _restart(self) -> None:
        """`appendfsync always`: all that was answered is there again; every connection is gone."""
        if self.world.counts["restarts"] < 2:  # it takes long
            self.world.counts["restarts"] += 1
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
            self.world.client.delete(self.world.keys[connection].lease)
            session = self.world.session(PODS[0], connection)
            walk.catch_up(self.world, session)
            judge(self.world, connection)
        judge_blobs(self.world)
        self.happened.update(self.world.counts)


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
    counts: Counter[str] = Counter()
    for seed in range(SEED, SEED + ROUNDS):
        _run(kind, seed, counts)
        if all(counts[what] for what in EXPECTED):
            break
    print(dict(counts))
    assert all(counts[what] for what in EXPECTED), counts


def _run(kind: Kind, seed: int, counts: Counter[str]) -> None:
    with RedisServer(kind=kind, appendfsync="always") as running:

        @with_seed(seed)
        class Machine(StoreMachine):
            server = running
            happened = counts

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
