"""Redis behind Sentinel: nothing may be touched that a failover could still lose."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from mailfetch_fetcher.errors import Fenced, FetchError, Pace, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import WantedAction
from mailfetch_fetcher.store.target import Target, parse_target
from tests.integration.store.helpers import KEYS, STREAM, Store, batch, mail, open_new, store_on
from tests.servers.certs import make_certificates
from tests.servers.redis import Kind, RedisServer, free_port, wait_until
from tests.servers.sentinel import NAME, SentinelSetup

DELETE = WantedAction(kind="Delete")


@pytest.fixture(params=["redis", "valkey"])
def setup(request: pytest.FixtureRequest) -> Iterator[SentinelSetup]:
    with running(cast("Kind", request.param)) as made:
        yield made


@contextmanager
def running(kind: Kind = "redis", *, replicas: int = 2, sentinels: int = 3) -> Iterator[SentinelSetup]:
    with SentinelSetup(kind=kind, replicas=replicas, sentinels=sentinels, appendfsync="always") as made:
        yield made


@pytest.fixture
def store(setup: SentinelSetup) -> Iterator[Store]:
    with store_on(setup.url, setup.master.client()) as made:
        yield made


def filled(store: Store, *uids: int) -> Mailbox:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid, action=DELETE) for uid in uids)))
    return mailbox


def reopened(store: Store) -> Mailbox:
    again = store.mailbox()
    open_new(again)
    return again


def due(mailbox: Mailbox) -> list[int]:
    return [action.uid for action in mailbox.due_actions().actions]


def uids_on(server: RedisServer) -> list[int]:
    entries = (
        dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in server.run("XRANGE", STREAM.queue, "-", "+")
    )
    return [int(entry[b"uid"]) for entry in entries]


# -- failovers -----------------------------------------------------------------------------


def test_a_life_goes_on_at_the_new_master_after_a_failover(setup: SentinelSetup, store: Store) -> None:
    mailbox = filled(store, 1, 2)
    assert due(mailbox) == [1, 2]
    old = setup.failover()
    with pytest.raises(StoreError):
        mailbox.commit(batch(mail(3)))
    assert uids_on(setup.master) == [1, 2]
    again = reopened(store)
    assert due(again) == [1, 2]
    again.commit(batch(mail(3)))
    assert uids_on(setup.master) == [1, 2, 3]
    setup.await_in_step()
    assert old in setup.replicas


def test_what_only_the_isolated_old_master_has_is_never_touched(setup: SentinelSetup, store: Store) -> None:
    """It takes commits and its own disk is fine, but the others have another master: all of it will be thrown away."""
    mailbox = filled(store, 1)
    assert due(mailbox) == [1]
    old = setup.isolate_master()
    mailbox.commit(batch(mail(2, action=DELETE)))
    assert uids_on(old) == [1, 2]
    with pytest.raises(Fenced, match="not the master any more"):
        mailbox.due_actions()
    again = reopened(store)
    again.commit(batch(mail(2, action=DELETE)))
    assert due(again) == []  # the old master is a replica for the Sentinels, and has not got it
    setup.heal(old)
    assert due(again) == [1, 2]
    assert uids_on(setup.master) == uids_on(old) == [1, 2]


def test_right_before_a_command_the_sentinels_are_asked_again(setup: SentinelSetup, store: Store) -> None:
    mailbox = filled(store, 1)
    assert due(mailbox) == [1]
    mailbox.confirm_lease()
    setup.isolate_master()
    with pytest.raises(Fenced, match="not the master any more"):
        mailbox.confirm_lease()


def test_a_renewal_notices_it_and_closes_every_link(setup: SentinelSetup, store: Store) -> None:
    lost = threading.Event()
    mailbox = store.opened(on_lost=lost.set)
    store.leases.renew_all()
    assert mailbox._lease.fresh()
    setup.isolate_master()
    store.leases.renew_all()
    assert lost.is_set()
    assert not mailbox._lease.fresh()
    assert mailbox._writer
    assert mailbox._actions
    assert mailbox._writer.link.dead
    assert mailbox._actions.link.dead
    with pytest.raises(Fenced, match="not the master any more"):
        mailbox.commit(batch(mail(1)))


@pytest.mark.parametrize("fault", ["isolate", "kill"])
def test_failovers_in_mid_commit_lose_nothing_that_was_acted_upon(
    setup: SentinelSetup, store: Store, fault: str
) -> None:
    acted: set[int] = set()
    committed = threading.Event()
    stop = threading.Event()

    def session() -> None:
        while not stop.is_set():
            mailbox = store.mailbox()
            try:
                open_new(mailbox)
                while not stop.is_set():
                    first = int(mailbox.state.cursor.partition("/")[2] or 0) + 1
                    mailbox.commit(batch(*(mail(uid, action=DELETE) for uid in range(first, first + 5))))
                    actions = mailbox.due_actions().actions
                    mailbox.confirm_lease()
                    acted.update(action.uid for action in actions)
                    mailbox.settle([Outcome(action=action, result="done") for action in actions])
                    committed.set()
            except FetchError:
                mailbox.close(release=False)
                stop.wait(0.05)

    thread = threading.Thread(target=session)
    thread.start()
    try:
        for _ in range(2):
            committed.clear()
            wait_until(committed.is_set, what="a commit")
            if fault == "isolate":
                setup.heal(setup.isolate_master())
            else:
                dead = setup.kill_master()
                dead.start()
                setup.heal(dead)
        committed.clear()
        wait_until(committed.is_set, what="a commit after the last failover")
    finally:
        stop.set()
        thread.join()
    stored = Counter(uids_on(setup.master))
    assert acted
    assert acted <= set(stored)
    assert set(stored.values()) == {1}
    assert set(stored) == set(range(1, max(stored) + 1))


# -- what is held --------------------------------------------------------------------------


def test_all_replicas_that_the_sentinels_list_must_answer(setup: SentinelSetup, store: Store) -> None:
    mailbox = filled(store, 1)
    dead = setup.replicas[0]
    dead.kill()
    assert due(mailbox) == []
    assert "only 1 of 2 replicas" in mailbox.safety().message
    assert f"SENTINEL RESET {NAME}" in mailbox.safety().message
    mailbox.commit(batch(mail(2, action=DELETE)))  # downloading goes on
    dead.start()
    setup.await_in_step()
    assert due(mailbox) == [1, 2]
    assert mailbox.safety().ok


def test_without_any_replica_everything_is_held() -> None:
    with running(replicas=0) as setup, store_on(setup.url, setup.master.client()) as store:
        mailbox = filled(store, 1)
        assert due(mailbox) == []
        assert "at least one replica" in mailbox.safety().message
        assert not mailbox.durable()


def test_a_minority_of_the_sentinels_is_not_believed() -> None:
    with running(replicas=1) as setup, store_on(setup.url, setup.master.client()) as store:
        mailbox = filled(store, 1)
        setup.sentinels[0].kill()
        assert due(mailbox) == [1]
        setup.sentinels[1].kill()
        assert due(mailbox) == []
        assert "majority of the Sentinels" in mailbox.safety().message
        with pytest.raises(StoreError, match="majority of the Sentinels"):
            mailbox.confirm_lease()
        again = reopened(store)
        again.commit(batch(mail(2)))  # downloading goes on
        assert uids_on(setup.master) == [1, 2]


# -- the way there -------------------------------------------------------------------------


def test_what_is_wrong_is_told_without_a_password(tmp_path: Path) -> None:
    with SentinelSetup(replicas=0, sentinels=1, sentinel_password="ganzgeheim") as setup:
        good = setup.url
        (sentinel,) = setup.sentinels
        for url, problem, pace in (
            (good.replace(NAME, "other"), "watch no master of the name other", Pace.CONFIGURATION),
            (good.replace(str(sentinel.port), str(free_port())), "none of the Sentinels", Pace.QUICK),
            (good.partition("?")[0], "none of the Sentinels", Pace.QUICK),
            (good.replace("ganzgeheim", "falschgeheim"), "refused the user or password", Pace.QUICK),
            (good.replace(":geheim@", ":falschgeheim@"), "refused the user or password", Pace.CONFIGURATION),
        ):
            with pytest.raises(StoreError, match=problem) as failure:
                locate(parse_target(url, ca_file=None), key=KEYS.state)
            assert failure.value.pace is pace
            assert "geheim" not in failure.value.message
        found = locate(parse_target(good, ca_file=None), key=KEYS.state)
        assert (found.host, found.port) == ("127.0.0.1", setup.master.port)


def test_a_dead_sentinel_is_passed_over() -> None:
    with running(replicas=0) as setup:
        setup.sentinels[0].kill()
        assert located(setup).port == setup.master.port


def test_a_server_that_is_named_and_is_no_master_is_not_used() -> None:
    """As in the first moments of a failover."""
    with running(replicas=1, sentinels=1) as setup:
        master = setup.master
        setup.sentinels[0].freeze()  # it must not repair what the test breaks
        master.run("REPLICAOF", "127.0.0.1", setup.nodes[1].port)
        setup.sentinels[0].thaw()
        with pytest.raises(StoreError, match="a failover is under way") as failure:
            located(setup)
        assert failure.value.pace is Pace.QUICK


def test_a_sentinel_under_a_plain_url_is_recognised() -> None:
    with running(replicas=0, sentinels=1) as setup:
        (sentinel,) = setup.sentinels
        with store_on(sentinel.url, sentinel.client()) as store, pytest.raises(StoreError, match=r"redis\+sentinel://"):
            store.opened()


def test_tls_everywhere(tmp_path: Path) -> None:
    made = make_certificates(tmp_path / "certificates")
    tls = (made.certificate("server"), made.key("server"), made.ca)
    with SentinelSetup(replicas=1, appendfsync="always", sentinel_password="auchgeheim", tls=tls) as setup:
        assert setup.url.startswith("rediss+sentinel://")
        target = locate(parse_target(setup.url, ca_file=made.ca), key=KEYS.state)
        assert target.tls
        with pytest.raises(StoreError, match="not trusted") as failure:
            locate(parse_target(setup.url, ca_file=None), key=KEYS.state)
        assert "ca.crt" in failure.value.message
        with store_on(setup.url, setup.master.client()) as store:
            mailbox = store.mailbox(ca_file=made.ca)
            open_new(mailbox)
            mailbox.commit(batch(mail(1, action=DELETE)))
            assert due(mailbox) == [1]
            mailbox.confirm_lease()
            store.leases.renew_all()
            assert mailbox._lease.fresh()


def located(setup: SentinelSetup) -> Target:
    return locate(parse_target(setup.url, ca_file=None), key=KEYS.state)
