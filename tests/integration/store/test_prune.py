"""Names that left the mailbox leave the ledger, in steps that a fence and a crash may come between."""

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import Outcome
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, WantedAction
from mailfetch_fetcher.store.prune import SECONDS, STEP, Pruned
from tests.integration.store.helpers import KEYS, Store, batch, name, named, open_new, quarantined
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer

NOW = 1_000_000
DELETE = WantedAction(kind="Delete")


def names(*uids: int) -> list[bytes]:
    return [name(uid) for uid in uids]


def member_of(store: Store, uid: int) -> int:
    return hashes.member(hashes.ledger_number(name(uid), 1, key=bytes.fromhex(store.state()["hashKey"])))


def known(mailbox: Mailbox, *uids: int) -> list[int]:
    return [uid for uid, is_known in zip(uids, mailbox.known(names(*uids)), strict=True) if is_known]


def with_mails(store: Store, count: int, *, url: str = "") -> Mailbox:
    mailbox = store.opened(url=url)
    for start in range(1, count + 1, 1000):
        mails = [named(uid, action=None, body=b"b") for uid in range(start, min(start + 1000, count + 1))]
        mailbox.commit(batch(*mails, cursor="c"))
    return mailbox


def test_absent_in_three_lists_over_a_day_goes_and_comes_back_as_a_new_mail(store: Store) -> None:
    mailbox = with_mails(store, 20)
    rest = names(*range(2, 21))
    assert mailbox.prune(rest, now=NOW) == Pruned(removed=0)
    assert mailbox.prune(rest, now=NOW + SECONDS) == Pruned(removed=0)
    assert known(mailbox, 1, 2) == [1, 2]
    lines = len(store.log())
    assert mailbox.prune(rest, now=NOW + SECONDS + 1) == Pruned(removed=1)
    assert known(mailbox, 1, 2) == [2]
    assert not store.client.exists(KEYS.gone)
    (line,) = store.log()[lines:]
    assert (line["step"], line["seq"]) == ("pruned", store.state()["seq"])
    mailbox.commit(batch(named(1), cursor="d"))  # and the chain of tips goes on
    assert store.entries()[0]["uid"] == store.entries()[-1]["uid"]
    assert store.entries()[0]["id"] != store.entries()[-1]["id"]
    assert mailbox.state.seq == int(store.state()["seq"])


def test_a_name_that_is_back_in_between_starts_anew(store: Store) -> None:
    mailbox = with_mails(store, 20)
    rest, everything = names(*range(2, 21)), names(*range(1, 21))
    mailbox.prune(rest, now=NOW)
    mailbox.prune(rest, now=NOW + 10)
    mailbox.prune(everything, now=NOW + 20)
    assert not store.client.exists(KEYS.gone)
    assert mailbox.prune(rest, now=NOW + 2 * SECONDS) == Pruned(removed=0)
    assert known(mailbox, 1) == [1]


def test_what_we_deleted_goes_with_the_next_list_and_its_name_makes_another_id_then(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), named(2), cursor="c"))
    store.client.config_set("appendfsync", "always")
    delete, mark = mailbox.due_actions().actions
    mailbox.settle([Outcome(action=delete, result="done"), Outcome(action=mark, result="done")])
    assert list(store.client.hgetall(KEYS.gone).values()) == [b"d"]
    assert mailbox.prune(names(2), now=NOW) == Pruned(removed=1)
    assert known(mailbox, 1, 2) == [2]
    assert not store.client.exists(KEYS.gone)
    mailbox.commit(batch(named(1), cursor="d"))  # the very same mail under the same name
    ids = [entry["id"] for entry in store.entries()]
    assert len(set(ids)) == 3


def test_what_was_gone_already_may_come_back(store: Store) -> None:
    """A list that lacked it for a while is no proof that the mail was deleted."""
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), named(2), cursor="c"))
    store.client.config_set("appendfsync", "always")
    (delete, *_) = mailbox.due_actions().actions
    mailbox.settle([Outcome(action=delete, result="done", was_gone=True)])
    assert mailbox.prune(names(2), now=NOW) == Pruned(removed=0)
    assert known(mailbox, 1, 2) == [1, 2]


def forget_first(mailbox: Mailbox, *there: int) -> None:
    """Somebody else removes mail 1, and three lists over more than a day lack it."""
    for now in (NOW, NOW + SECONDS, NOW + SECONDS + 1):
        pruned = mailbox.prune(names(*there), now=now)
    assert pruned == Pruned(removed=1)


def test_what_was_to_be_done_with_a_forgotten_mail_is_not_done_to_the_next_of_its_name(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), named(2, action=DELETE), named(3), cursor="c"))
    first, second, third = store.outbox()
    forget_first(mailbox, 2, 3)
    assert store.outbox() == [second, third]
    (line,) = [line for line in store.log() if line["category"] == "AfterDownload"]
    assert (line["result"], line["step"], line["entry"]) == ("Dropped", "Delete", store.ids()[0])
    assert "not in the mailbox any more" in line["detail"]
    assert [line["step"] for line in store.log()[-2:]] == ["Delete", "pruned"]  # the last line has seq
    mailbox.commit(batch(named(1, action=DELETE), cursor="d"))
    assert [action.entry for action in mailbox.due_actions().actions] == store.ids()[1:]
    assert first not in store.outbox()


def test_nor_what_was_to_be_done_with_it_when_it_was_asked_for_once_more(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), named(2, action=None), cursor="c"))
    mailbox.commit(batch(named(1, action=DELETE, refetch="since:2026-01-01"), cursor="c"))
    assert len(store.outbox()) == 2
    forget_first(mailbox, 2)
    assert store.outbox() == []


def test_of_thousands_of_actions_those_of_forgotten_mails_go(store: Store) -> None:
    mailbox = store.opened()
    for start in range(1, 3001, 500):
        mailbox.commit(batch(*(named(uid, action=DELETE, body=b"b") for uid in range(start, start + 500)), cursor="c"))
    for uid in range(1, 1501):
        store.client.hset(KEYS.gone, str(member_of(store, 2 * uid)), f"{NOW - 2 * SECONDS}:5")
    assert mailbox.prune(names(*range(1, 3001, 2)), now=NOW) == Pruned(removed=1500)
    assert [member.split(" ")[0] for member in store.outbox()] == [f"uidl-{uid}/1" for uid in range(1, 3001, 2)]


def test_an_empty_list_prunes_nothing(store: Store) -> None:
    mailbox = with_mails(store, 3)
    before = store.snapshot()
    for day in range(5):
        assert mailbox.prune([], now=NOW + day * SECONDS) == Pruned(removed=0)
    assert store.snapshot() == before


def test_an_empty_list_shows_that_what_we_deleted_is_gone(store: Store) -> None:
    """The same mail may come again, under the same name where names are made from the content."""
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), named(2), cursor="c"))
    (delete, *_) = mailbox.due_actions().actions
    mailbox.settle([Outcome(action=delete, result="done")])
    assert mailbox.prune([], now=NOW) == Pruned(removed=1)
    assert known(mailbox, 1, 2) == [2]


def test_half_a_mailbox_that_vanishes_is_never_forgotten(store: Store) -> None:
    mailbox = with_mails(store, 100)
    half = names(*range(1, 51))
    for day in range(5):
        assert mailbox.prune(half, now=NOW + day * SECONDS) == Pruned(removed=0, frozen=True)
    assert store.known() == 100
    assert mailbox.prune(names(*range(1, 101)), now=NOW + 6 * SECONDS) == Pruned(removed=0)


def test_thousands_go_in_steps_of_their_own(store: Store) -> None:
    mailbox = with_mails(store, 3000)
    for uid in range(1, 3001):
        store.client.hset(KEYS.gone, str(member_of(store, uid)), f"{NOW - 2 * SECONDS}:5")
    seq = mailbox.state.seq
    assert mailbox.prune(names(1), now=NOW) == Pruned(removed=2999)
    assert store.known() == 1
    assert sum(map(int, store.client.hvals(KEYS.returns))) == 2999
    assert store.client.hlen(KEYS.returns) <= 1024
    assert not store.client.exists(KEYS.gone)
    assert mailbox.state.seq == seq + -(-2999 // STEP) + 1


def test_another_owner_prunes_nothing(store: Store) -> None:
    mailbox = with_mails(store, 20)
    open_new(store.mailbox())
    before = store.snapshot()
    with pytest.raises(Fenced):
        mailbox.prune(names(*range(2, 21)), now=NOW)
    assert store.snapshot() == before


def test_a_commit_of_the_same_life_is_fenced_by_nothing(store: Store) -> None:
    mailbox = with_mails(store, 20)
    mailbox.prune(names(*range(2, 21)), now=NOW)
    mailbox.commit(batch(named(21), cursor="d"))
    mailbox.prune(names(*range(2, 22)), now=NOW + 1)
    assert store.client.hget(KEYS.gone, str(member_of(store, 1))) == b"%d:2" % NOW


def test_a_lost_reply_is_asked_for_again(store: Store, proxy: FaultProxy) -> None:
    mailbox = with_mails(store, 20, url=f"redis://127.0.0.1:{proxy.port}")
    proxy.lose_reply_to(b"%d:1" % NOW)
    mailbox.prune(names(*range(2, 21)), now=NOW)
    assert proxy.faults == 1
    assert store.client.hlen(KEYS.gone) == 1
    mailbox.commit(batch(named(21), cursor="d"))


def test_full_memory_does_not_hinder_what_frees_it(store: Store) -> None:
    mailbox = with_mails(store, 20)
    rest = names(*range(2, 21))
    store.client.config_set("maxmemory", 100_000)
    for now in (NOW, NOW + SECONDS, NOW + SECONDS + 1):
        pruned = mailbox.prune(rest, now=now)
    assert pruned == Pruned(removed=1)


def test_a_replica_changes_nothing(server: RedisServer, store: Store) -> None:
    mailbox = with_mails(store, 20)
    store.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    before = store.snapshot()
    with pytest.raises(StoreError, match="replica") as failure:
        mailbox.prune(names(*range(2, 21)), now=NOW)
    assert failure.value.reason == "StoreUnavailable"
    assert store.snapshot() == before


@pytest.mark.parametrize("victim", [KEYS.gone, KEYS.returns, KEYS.outbox])
def test_a_key_of_another_type_changes_nothing(store: Store, victim: str) -> None:
    mailbox = with_mails(store, 20)
    store.client.set(victim, "not ours")
    before = store.snapshot()
    with pytest.raises(StoreError, match="WRONGTYPE"):
        mailbox.prune(names(*range(2, 21)), now=NOW)
    assert store.snapshot() == before


def test_a_name_in_quarantine_is_pruned_like_others(store: Store) -> None:
    mailbox = with_mails(store, 20)
    mailbox.commit(Batch(quarantine=[quarantined(21, with_name=True)]))
    for now in (NOW, NOW + SECONDS, NOW + SECONDS + 1):
        mailbox.prune(names(*range(1, 21)), now=now)
    assert known(mailbox, 21) == []
    mailbox.commit(Batch(mails=[named(21)], released=["uidl-21/1"]))
    assert known(mailbox, 21) == [21]
