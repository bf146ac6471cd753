"""Mails with names (POP3): the ledger holds exactly these names."""

from dataclasses import replace

import pytest

from mailfetch_fetcher.errors import Fenced
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.model import Batch, Mail, WantedAction
from mailfetch_fetcher.store.read import LedgerView
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import KEYS, Store, batch, mail, name, named, quarantined

DELETE = WantedAction(kind="Delete")


def member_of(store: Store, uid: int) -> int:
    key = bytes.fromhex(store.state()["hashKey"])
    return hashes.member(hashes.ledger_number(name(uid), 1, key=key))


def test_names_are_known_once_committed(store: Store) -> None:
    mailbox = store.opened()
    names = [name(uid) for uid in (1, 2, 3)]
    assert mailbox.known(names) == [False, False, False]
    mailbox.commit(batch(named(1), named(3), cursor="c"))
    assert mailbox.known(names) == [True, False, True]
    assert mailbox.known([]) == []
    target = parse_target(store.url, ca_file=None)
    with LedgerView(target, KEYS, mailbox.state) as view:
        assert view.known(names) == [True, False, True]
    assert [
        store.client.sismember(KEYS.known(hashes.bucket(member_of(store, u) % 2**64)), member_of(store, u))
        for u in (1, 2)
    ] == [1, 0]


def test_a_mail_without_and_one_with_a_name_do_not_meet(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1), named(1), cursor="c"))
    assert store.known() == len(store.entries()) == 2


def test_thousands_of_names_are_asked_for_at_once(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(named(uid, action=None) for uid in range(2500)), cursor="c"))
    assert mailbox.known([name(uid) for uid in range(2505)]) == [True] * 2500 + [False] * 5


def test_a_known_name_is_refused_and_nothing_is_written(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1), cursor="c"))
    before = store.snapshot()
    with pytest.raises(Fenced, match="in the ledger already"):
        mailbox.commit(batch(named(2), named(1), cursor="d"))
    assert store.snapshot() == before


def test_the_same_name_twice_in_a_batch_is_a_mistake(store: Store) -> None:
    mailbox = store.opened()
    with pytest.raises(ValueError, match="same name"):
        mailbox.commit(batch(named(1), named(1), cursor="c"))
    assert not store.entries()


def test_twins_differ_by_their_names(store: Store) -> None:
    mailbox = store.opened()
    first = replace(named(1), name=b"uidl 1 same", ref="same/1")
    second = replace(named(1), name=b"uidl 2 same", ref="same/2")
    mailbox.commit(batch(first, cursor="c"))
    assert mailbox.known([first.name, second.name]) == [True, False]
    mailbox.commit(batch(second, cursor="c"))
    assert len({e["id"] for e in store.entries()}) == 2


def entry_id(store: Store, one: Mail) -> str:
    """The id that its entry gets, in a mailbox that does not know it yet."""
    mailbox = store.opened()
    for key in store.client.scan_iter(KEYS.prefix + ":known:*"):
        store.client.delete(key)
    mailbox.commit(Batch(mails=[one]))
    return store.entries()[-1]["id"]


def test_the_id_depends_on_name_content_and_returns_only(store: Store) -> None:
    first = entry_id(store, named(1))
    assert entry_id(store, named(1)) == first
    assert entry_id(store, named(1, flags="other")) == first
    assert entry_id(store, replace(named(1), identity=b"the name was used again")) != first
    store.client.hset(KEYS.returns, str(member_of(store, 1) % 1024), 1)
    second = entry_id(store, named(1))
    assert second != first
    assert entry_id(store, named(1, refetch="since:2026-01-01")).startswith(second + "~")


def test_a_name_asked_for_again_leaves_the_ledger_alone(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1), cursor="c"))
    mailbox.commit(Batch(mails=[named(1, refetch="uid:1")]))
    assert len(store.entries()) == 2
    assert store.known() == 1


def test_the_outbox_notes_the_number_for_pruning(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1, action=DELETE), cursor="c"))
    (member,) = store.outbox()
    assert member.split(" ")[1] == f"{mailbox.digest(named(1).identity)}:{member_of(store, 1)}"
    (action,) = mailbox.due_actions().actions
    assert (action.key, action.fingerprint) == ("uidl-1/1", mailbox.digest(named(1).identity))


# -- quarantine ----------------------------------------------------------------------------


def test_records_come_and_go_with_commits(store: Store) -> None:
    mailbox = store.opened()
    one, two = quarantined(3, detail="NO [ALERT] 'ünlesbar'"), quarantined(5, since=50, kind="TooLarge", size=10**12)
    mailbox.commit(batch(mail(6), quarantine=[one, two]))
    assert mailbox.quarantine() == [two, one]
    again = replace(one, attempts=2, retry=900)
    mailbox.commit(Batch(quarantine=[again]))
    assert mailbox.quarantine() == [two, again]
    mailbox.commit(Batch(mails=[mail(3)], released=["1700000000/3", "1700000000/404"]))
    assert mailbox.quarantine() == [two]
    assert mailbox.state.cursor == "1700000000/6"
    assert store.opened().quarantine() == [two]


def test_a_name_in_quarantine_is_known_and_can_still_be_committed(store: Store) -> None:
    mailbox = store.opened()
    record = quarantined(1, with_name=True, name=b"uidl 1 uidl-1")
    mailbox.commit(Batch(cursor="c", quarantine=[record]))
    assert mailbox.quarantine() == [record]
    assert mailbox.known([name(1)]) == [True]
    assert not store.outbox()  # known, and not deletable
    mailbox.commit(Batch(mails=[named(1)], released=[record.ref]))
    assert len(store.entries()) == store.known() == 1
    assert not mailbox.quarantine()


def test_any_bytes_of_a_name_survive(store: Store) -> None:
    mailbox = store.opened()
    record = replace(quarantined(1, with_name=True), name=bytes(range(256)))
    mailbox.commit(Batch(quarantine=[record]))
    assert mailbox.quarantine() == [record]


@pytest.mark.parametrize("with_name", [False, True])
def test_a_mail_first_committed_on_request_enters_the_ledger(store: Store, with_name: bool) -> None:
    mailbox = store.opened()
    record = quarantined(1, with_name=with_name)
    mailbox.commit(Batch(cursor="c", quarantine=[record]))
    one = named(1, refetch="quarantined") if with_name else mail(1, refetch="quarantined")
    mailbox.commit(Batch(mails=[one], released=[record.ref], refetch="quarantined"))
    assert store.known() == 1
    assert "~" in store.entries()[0]["id"]


def test_a_record_that_cannot_be_read_is_said(store: Store) -> None:
    mailbox = store.opened()
    store.client.hset(KEYS.quarantine, "1/2", '{"kind": "Odd"}')
    with pytest.raises(Exception, match=r"cannot read \(1/2\)"):
        mailbox.quarantine()


@pytest.mark.parametrize("ref", ["", "1 2"])
def test_a_ref_with_blanks_never_enters_the_quarantine(store: Store, ref: str) -> None:
    with pytest.raises(ValueError, match="cannot name a mail"):
        store.opened().commit(Batch(quarantine=[quarantined(1, ref=ref)]))
