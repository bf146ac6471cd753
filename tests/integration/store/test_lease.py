"""Who may take a mailbox, and when a session loses it."""

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.store.model import WantedAction
from tests.integration.store.helpers import KEYS, FakeClock, Store, batch, mail, open_new, store_on
from tests.servers.redis import RedisServer, wait_until


def test_another_pod_waits_until_the_lease_runs_out(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    before = store.snapshot()
    with pytest.raises(StoreError, match="pod-1") as failure:
        open_new(store.mailbox(pod="pod-2"))
    assert failure.value.reason == "StoreUnavailable"
    assert failure.value.retry_after is not None
    assert 20 < failure.value.retry_after <= 31
    assert store.snapshot() == before
    mailbox.commit(batch(mail(1)))
    store.client.delete(KEYS.lease)  # it ran out
    open_new(store.mailbox(pod="pod-2"))
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(2)))


def test_another_pod_may_not_put_a_leased_state_aside(store: Store) -> None:
    store.opened(pod="pod-1")
    before = store.snapshot()
    with pytest.raises(StoreError, match="lease"):
        store.mailbox(pod="pod-2").open(identity="sha256:other", gate_epoch=2, create=False, state_id="", known_seq=0)
    assert store.snapshot() == before


def test_the_same_pod_takes_it_back_at_once(store: Store) -> None:
    store.opened(pod="pod-1")
    open_new(store.mailbox(pod="pod-1"))


def test_a_pod_whose_name_begins_the_same_is_another_pod(store: Store) -> None:
    store.opened(pod="pod-11")
    with pytest.raises(StoreError, match="lease"):
        open_new(store.mailbox(pod="pod-1"))


def test_a_released_lease_is_free_at_once(store: Store) -> None:
    store.opened(pod="pod-1").close(release=True)
    assert not store.client.exists(KEYS.lease)
    open_new(store.mailbox(pod="pod-2"))


def test_closing_never_releases_the_lease_of_a_successor(store: Store) -> None:
    old = store.opened(pod="pod-1")
    open_new(store.mailbox(pod="pod-1"))
    held = store.client.get(KEYS.lease)
    old.close(release=True)
    assert store.client.get(KEYS.lease) == held


def test_closing_without_redis_raises_nothing(server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    server.kill()
    mailbox.close(release=True)


def test_nothing_works_before_open(store: Store) -> None:
    mailbox = store.mailbox()
    with pytest.raises(Fenced, match="not open"):
        mailbox.commit(batch(mail(1)))


# -- renewing ------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_session_that_makes_progress_keeps_its_lease(server: RedisServer, clock: FakeClock) -> None:
    with store_on(server.url, server.client(), clock=clock) as store:
        mailbox = store.opened()
        store.client.pexpire(KEYS.lease, 5_000)
        clock.seconds += 100
        mailbox.progress()
        store.leases.renew_all()
        assert store.client.pttl(KEYS.lease) > 20_000
        mailbox.commit(batch(mail(1)))


def test_a_session_that_hangs_loses_its_lease_and_its_connection(server: RedisServer, clock: FakeClock) -> None:
    cut: list[str] = []
    with store_on(server.url, server.client(), clock=clock) as store:
        mailbox = store.opened(on_lost=lambda: cut.append("cut"))
        mailbox.progress(within=60)
        store.client.pexpire(KEYS.lease, 5_000)
        clock.seconds += 61
        store.leases.renew_all()
        store.leases.renew_all()
        assert store.client.pttl(KEYS.lease) <= 5_000  # not renewed: another pod may have it soon
        assert cut == ["cut"]
        mailbox.progress()  # too late
        with pytest.raises(Fenced, match="hangs"):
            mailbox.outbox_size()  # even what would do no harm
        with pytest.raises(Fenced, match="hangs"):
            mailbox.commit(batch(mail(1)))
        assert not store.entries()


def test_a_slow_move_is_no_hanging(server: RedisServer, clock: FakeClock) -> None:
    with store_on(server.url, server.client(), clock=clock) as store:
        store.client.config_set("appendfsync", "always")
        mailbox = store.opened()
        mailbox.commit(batch(mail(1, action=WantedAction(kind="Move", folder="Done"))))
        (action,) = mailbox.due_actions().actions
        mailbox.progress(within=60)
        clock.seconds += 50
        mailbox.advance([action], "copying")
        clock.seconds += 50
        store.leases.renew_all()
        mailbox.outbox_size()


def test_an_announced_wait_is_no_hanging(server: RedisServer, clock: FakeClock) -> None:
    with store_on(server.url, server.client(), clock=clock) as store:
        mailbox = store.opened()
        mailbox.progress(within=560)
        clock.seconds += 550
        store.leases.renew_all()
        mailbox.commit(batch(mail(1)))


def test_a_lease_taken_over_fences_everything(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    mailbox.commit(batch(mail(1)))
    store.client.delete(KEYS.lease)
    open_new(store.mailbox(pod="pod-2"))
    before = store.snapshot()
    store.leases.renew_all()
    for call in (
        lambda: mailbox.commit(batch(mail(2))),
        lambda: mailbox.due_actions(),
        lambda: mailbox.confirm_lease(),
        lambda: mailbox.outbox_size(),
        lambda: mailbox.trim(),
        lambda: mailbox.start_blob(),
    ):
        with pytest.raises(Fenced, match="another fetcher"):
            call()
    assert store.snapshot() == before


def test_confirming_notices_a_takeover_by_itself(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    store.client.delete(KEYS.lease)
    open_new(store.mailbox(pod="pod-2"))
    with pytest.raises(Fenced):
        mailbox.confirm_lease()


def test_a_lease_that_ran_out_without_a_successor_goes_on(store: Store) -> None:
    mailbox = store.opened(pod="pod-1")
    store.client.delete(KEYS.lease)
    store.leases.renew_all()
    assert store.client.get(KEYS.lease).startswith(b"pod-1 ")
    mailbox.commit(batch(mail(1)))


def test_an_outage_of_redis_loses_no_lease(server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    server.kill()
    store.leases.renew_all()
    server.start()
    store.leases.renew_all()
    mailbox.commit(batch(mail(1)))
    assert len(store.entries()) == 1


def test_the_thread_renews_by_itself(server: RedisServer) -> None:
    with store_on(server.url, server.client(), ttl=3.0) as store:
        mailbox = store.opened()
        store.client.set(KEYS.lease, store.client.get(KEYS.lease))  # without a time to live
        wait_until(lambda: store.client.pttl(KEYS.lease) > 0, what="a renewal")
        assert store.leases.trouble() == ""
        mailbox.close(release=True)
        store.leases.stop()
        assert store.leases.trouble() == ""
