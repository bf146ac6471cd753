"""The ledger counts: two mails that look the same are two mails."""

from tests.integration.store.helpers import Store, batch, mail

TWIN = b"monitoring, same second, same size"


def test_twins_in_one_batch_are_counted(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid, identity=TWIN) for uid in (1, 2, 3))))
    assert len(store.entries()) == store.known() == 3


def test_a_twin_of_a_known_mail_is_stored_and_counted(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, identity=TWIN)))
    mailbox.commit(batch(mail(2, identity=TWIN), mail(3), mail(4, identity=TWIN)))
    assert [e["uid"] for e in store.entries()] == ["1", "2", "3", "4"]
    assert store.known() == 4


def test_many_twins_cost_few_questions(store: Store) -> None:
    mailbox = store.opened()
    for start in range(0, 1000, 100):
        mailbox.commit(batch(*(mail(uid, identity=TWIN) for uid in range(start + 1, start + 101))))
    before = store.client.info("commandstats")["cmdstat_sismember"]["calls"]
    mailbox.commit(batch(mail(2000, identity=TWIN)))
    asked = store.client.info("commandstats")["cmdstat_sismember"]["calls"] - before
    assert asked < 300  # not one for each of the thousand
    assert len(store.entries()) == store.known() == 1001


def test_a_gap_in_the_counting_is_filled_and_does_no_harm(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid, identity=TWIN) for uid in range(1, 6))))
    for key in store.client.scan_iter("*:known:*"):
        store.client.delete(key)  # what pruning may do to some of them
        break
    mailbox.commit(batch(*(mail(uid, identity=TWIN) for uid in range(6, 12))))
    assert len(store.entries()) == 11
    assert store.known() == 10


def test_a_mail_that_is_downloaded_again_has_the_same_id(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    other = store.opened()
    other.commit(batch(mail(1)))
    assert len({e["id"] for e in store.entries()}) == 1
