"""The session's thread uses the store while the writer's thread commits."""

import threading

from mailfetch_fetcher.store.model import Batch
from tests.integration.store.helpers import Store, batch, mail, name, named


def test_two_threads_commit_and_ask_at_the_same_time(store: Store) -> None:
    mailbox = store.opened()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for start in range(0, 1000, 10):
                mailbox.commit(batch(*(named(uid) for uid in range(start, start + 10)), cursor=str(start)))
        except BaseException as e:
            failures.append(e)

    writer = threading.Thread(target=write)
    writer.start()
    looks = 0
    while writer.is_alive() or looks < 20:
        looks += 1
        mailbox.commit(Batch(group_seen=str(looks)))
        blob = mailbox.start_blob()
        blob.append(b"x" * 70_000)
        mailbox.commit(Batch(mails=[mail(looks, body=blob.finish(), action=None)]))
        known = mailbox.known([name(uid) for uid in range(1000)])
        assert known == sorted(known, reverse=True)  # in the order of the commits
        mailbox.quarantine()
    writer.join()
    assert not failures
    assert len(store.entries()) == store.known() == 1000 + looks
    assert mailbox.state.group_seen == store.state()["groupSeen"] == str(looks)
    assert mailbox.state.cursor == store.state()["cursor"] == "990"
    assert mailbox.state.seq == int(store.state()["seq"])
