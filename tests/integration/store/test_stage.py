"""A ledger made anew beside the one in use, and the commit that exchanges them."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.store import hashes
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch
from tests.integration.store.helpers import KEYS, Store, batch, mail, name, named, open_new, quarantined
from tests.servers.proxy import FaultProxy

TWIN = b"monitoring, same second, same size"


def leftovers(store: Store) -> list[str]:
    """Keys that only an unfinished exchange has."""
    return [key.decode() for part in ("stage", "swap") for key in store.client.scan_iter(f"{KEYS.prefix}:{part}:*")]


def identity(uid: int) -> bytes:
    return mail(uid).identity


def known_uids(mailbox: Mailbox, *uids: int) -> list[int]:
    answers = mailbox.known([name(uid) for uid in uids])
    return [uid for uid, known in zip(uids, answers, strict=True) if known]


def test_the_staged_names_are_the_ledger_after_the_commit(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(named(uid, action=None) for uid in range(1, 31)), cursor="a"))
    stage = mailbox.stage()
    stage.begin()
    stage.add([name(uid) for uid in range(21, 1500)])
    stage.add([name(21)])
    assert stage.size == 1479
    assert known_uids(mailbox, 1, 30, 31) == [1, 30]  # not yet
    mailbox.commit(Batch(cursor="b", phase="Steady", staged=True))
    assert known_uids(mailbox, 1, 20, 21, 1499, 1500) == [21, 1499]
    assert store.known() == 1479
    assert not leftovers(store)
    mailbox.commit(batch(named(2000), cursor="c"))
    assert store.known() == 1480


def test_an_empty_stage_empties_the_ledger(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    mailbox.stage().begin()
    mailbox.commit(Batch(cursor="b", staged=True))
    assert store.known() == 0


def test_a_batch_that_exchanges_the_ledger_cannot_add_to_it(store: Store) -> None:
    mailbox = store.opened()
    with pytest.raises(ValueError, match="exchanges the ledger"):
        mailbox.commit(batch(mail(1), staged=True))
    other = store.opened()
    with pytest.raises(ValueError, match="exchanges the ledger"):
        other.commit(Batch(quarantine=[quarantined(1, with_name=True)], staged=True))


STEPS = 5


def baseline(mailbox: Mailbox, *, stop_after: int = STEPS) -> None:
    """Notes mails 11 to 20 as old, in steps that a crash may come between."""
    steps: list[Callable[[], object]] = [
        mailbox.stage().begin,
        lambda: mailbox.stage().add([name(uid) for uid in range(11, 15)]),
        lambda: mailbox.stage().add([name(uid) for uid in range(15, 19)]),
        lambda: mailbox.stage().add([name(uid) for uid in range(19, 21)]),
        lambda: mailbox.commit(Batch(cursor="b", phase="Steady", staged=True)),
    ]
    for step in steps[:stop_after]:
        step()


@pytest.mark.parametrize("done", range(STEPS + 1))
def test_after_a_crash_between_any_two_steps_it_is_made_anew(store: Store, done: int) -> None:
    first = store.opened()
    first.commit(Batch(phase="Baseline"))
    first.commit(batch(named(1), cursor="a"))
    baseline(first, stop_after=done)
    second = store.mailbox()  # the first one never says goodbye
    state = open_new(second)
    if done < STEPS:
        assert (state.phase, state.cursor) == ("Baseline", "a")
        assert known_uids(second, 1, 11, 20) == [1]
        # Mails 11 and 12 have left the mailbox meanwhile: what was staged before counts for nothing.
        second.stage().begin()
        second.stage().add([name(uid) for uid in range(13, 21)])
        second.commit(Batch(cursor="b", phase="Steady", staged=True))
        assert store.known() == 8
    else:
        assert (state.phase, state.cursor) == ("Steady", "b")
        assert store.known() == 10
    assert known_uids(second, 1, 13, 20, 21) == [13, 20]
    assert not leftovers(store)


def test_a_stage_that_lost_something_is_not_taken(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(named(1), cursor="a"))
    stage = mailbox.stage()
    stage.begin()
    stage.add([name(uid) for uid in range(100)])
    store.client.delete(leftovers(store)[0])  # as after a failover
    before = store.snapshot()
    with pytest.raises(Fenced, match="not all"):
        mailbox.commit(Batch(cursor="b", staged=True))
    assert store.snapshot() == before


def test_a_zombie_adds_nothing_to_the_stage_of_its_successor(store: Store) -> None:
    old = store.opened()
    old.stage().begin()
    new = store.mailbox()
    open_new(new)
    new.stage().begin()
    new.stage().add([name(1)])
    before = store.snapshot()
    with pytest.raises(Fenced):
        old.stage().add([name(2)])
    with pytest.raises(Fenced):
        old.stage().begin()
    assert store.snapshot() == before
    new.commit(Batch(cursor="b", staged=True))
    assert store.known() == 1


def test_full_memory_stages_nothing(store: Store) -> None:
    mailbox = store.opened()
    mailbox.stage().begin()
    store.client.config_set("maxmemory", 100_000)
    with pytest.raises(StoreError) as failure:
        mailbox.stage().add([name(1)])
    assert failure.value.reason == "QueueFull"
    assert not leftovers(store)


# -- walking through a mailbox that has other numbers now ----------------------------------


def test_a_walk_says_what_is_known_and_counts_twins_in_order(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1), mail(2, identity=TWIN), mail(3, identity=TWIN)))
    stage = mailbox.stage()
    stage.begin()
    assert stage.walk([TWIN, identity(1)]) == [True, True]
    assert stage.walk([identity(9), TWIN, TWIN, TWIN]) == [False, True, False, False]
    assert stage.walk([]) == []
    assert stage.size == 6


def test_a_long_walk_over_many_twins_costs_few_questions(store: Store) -> None:
    mailbox = store.opened()
    for start in range(1, 2001, 500):
        mailbox.commit(batch(*(mail(uid, identity=TWIN, action=None) for uid in range(start, start + 500))))
    stage = mailbox.stage()
    stage.begin()
    store.client.config_resetstat()
    pieces = [stage.walk([TWIN] * 300) for _ in range(7)]
    assert [sum(piece) for piece in pieces] == [300, 300, 300, 300, 300, 300, 200]
    assert pieces[-1] == [True] * 200 + [False] * 100
    assert stage.size == 2100
    assert store.client.info("commandstats")["cmdstat_sismember"]["calls"] < 2 * 2100


def test_a_reset_downloads_what_is_unknown_once_whatever_breaks_off(store: Store) -> None:
    """UIDs 1 to 20 are 1001 to 1016 in the new numbering (four were deleted), and five are new."""
    listing = [*range(5, 21), *range(31, 36)]
    store.opened().commit(batch(*(mail(uid, action=None) for uid in range(1, 21)), cursor="old"))
    for breaks_off in (True, True, False):
        mailbox = store.mailbox()
        open_new(mailbox)
        mailbox.commit(Batch(phase="Reset 1800000000"))
        stage = mailbox.stage()
        stage.begin()
        for i in range(0, len(listing), 4):
            piece = listing[i : i + 4]
            answers = stage.walk([identity(uid) for uid in piece])
            new = [uid for uid, is_known in zip(piece, answers, strict=True) if not is_known]
            if new:
                mailbox.commit(Batch(mails=[mail(uid, action=None) for uid in new]))
                if breaks_off:
                    break
        else:
            mailbox.commit(Batch(cursor="new", phase="Steady", staged=True))
    assert sorted(int(e["uid"]) for e in store.entries()) == [*range(1, 21), *range(31, 36)]
    assert store.known() == len(listing)
    assert store.state()["cursor"] == "new"


def test_a_twin_downloaded_in_a_reset_is_known_in_the_next_walk(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, identity=TWIN)))
    for expected in ([True, False, False], [True, True, True]):
        stage = mailbox.stage()
        stage.begin()
        answers = stage.walk([TWIN] * 3)
        assert answers == expected
        mailbox.commit(Batch(mails=[mail(10 + i, identity=TWIN) for i, is_known in enumerate(answers) if not is_known]))
    mailbox.commit(Batch(cursor="new", phase="Steady", staged=True))
    assert store.known() == len(store.entries()) == 3


def test_a_cut_while_staging_ends_this_life_and_the_next_begins_anew(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    mailbox.stage().begin()
    proxy.lose_reply_to(str(hashes.member(hashes.ledger_number(name(2), 1, key=mailbox.state.hash_key))).encode())
    with pytest.raises(StoreError):
        mailbox.stage().add([name(1), name(2)])
    assert leftovers(store)
    again = store.mailbox()
    open_new(again)
    again.stage().begin()
    assert not leftovers(store)
    again.stage().add([name(3)])
    again.commit(Batch(cursor="b", staged=True))
    assert store.known() == 1
