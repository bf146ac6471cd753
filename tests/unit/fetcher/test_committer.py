import threading

import pytest

from mailfetch_fetcher import committer
from mailfetch_fetcher.committer import Committer
from mailfetch_fetcher.store.model import Batch, LogLine, Mail


def mail(uid: int, size: int = 10) -> Mail:
    return Mail(
        ref=f"1/{uid}", uid_validity="1", uid=uid, folder="INBOX", identity=b"i", body=b"x" * size, size=size, sha256=""
    )


def uids(batches: list[Batch]) -> list[list[int]]:
    return [[m.uid for m in b.mails] for b in batches]


def test_batches_keep_order_and_bounds_and_carry_the_cursor_behind_them() -> None:
    seen: list[Batch] = []
    with Committer(commit=seen.append, committed=lambda _: None) as c:
        for uid in range(1, 251):
            c.add(mail(uid), cursor=f"1:{uid}")
        c.move("1:300")
    assert [len(b.mails) for b in seen] == [100, 100, 50]
    assert [b.cursor for b in seen] == ["1:100", "1:200", "1:300"]
    assert [u for us in uids(seen) for u in us] == list(range(1, 251))


def test_a_batch_is_bounded_in_bytes() -> None:
    seen: list[Batch] = []
    with Committer(commit=seen.append, committed=lambda _: None) as c:
        for uid in range(1, 4):
            c.add(mail(uid, committer.MAX_BYTES // 2 + 1), cursor=f"1:{uid}")
    assert uids(seen) == [[1], [2], [3]]


def test_after_a_failed_commit_nothing_behind_it_is_sent() -> None:
    tried: list[Batch] = []
    second_may_fail = threading.Event()

    def commit(batch: Batch) -> None:
        tried.append(batch)
        if len(tried) == 2:
            second_may_fail.wait(30)
            raise OSError("lost")

    def download() -> None:
        with Committer(commit=commit, committed=lambda _: None) as c:
            for uid in range(1, 6):
                c.add(mail(uid), cursor=f"1:{uid}")
                c.flush()
            second_may_fail.set()

    with pytest.raises(OSError, match="lost"):
        download()
    assert uids(tried) == [[1], [2]]


def test_an_error_of_the_source_drops_what_was_not_handed_over() -> None:
    seen: list[Batch] = []

    def download() -> None:
        with Committer(commit=seen.append, committed=lambda _: None) as c:
            c.add(mail(1), cursor="1:1")
            c.flush()
            c.add(mail(2), cursor="1:2")
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        download()
    assert uids(seen) == [[1]]


def test_drain_returns_when_everything_is_committed() -> None:
    done: list[Batch] = []
    with Committer(commit=lambda _: None, committed=done.append) as c:
        c.add(mail(1), cursor="1:1")
        c.drain()
        assert uids(done) == [[1]]


def test_a_cursor_moves_without_a_mail_and_nothing_new_commits_nothing() -> None:
    seen: list[Batch] = []
    with Committer(commit=seen.append, committed=lambda _: None) as c:
        c.note(LogLine(step="absent"), cursor="1:7")
    assert [(b.cursor, len(b.mails), len(b.log)) for b in seen] == [("1:7", 0, 1)]
    with Committer(commit=seen.append, committed=lambda _: None):
        pass
    assert len(seen) == 1


def test_batches_fit_into_the_room_that_is_left() -> None:
    seen: list[Batch] = []
    with Committer(commit=seen.append, committed=lambda _: None) as c:
        c.limit(2)
        for uid in range(1, 4):
            c.add(mail(uid), cursor=f"1:{uid}")
        c.limit(0)  # full: still one at a time, so that the store says so
        c.add(mail(4), cursor="1:4")
    assert uids(seen) == [[1, 2], [3, 4]]


def test_a_cursor_that_is_committed_already_is_no_commit() -> None:
    seen: list[Batch] = []
    with Committer(commit=seen.append, committed=lambda _: None) as c:
        c.add(mail(1), cursor="1:1")
        c.flush()
        c.move("1:1")
    assert [b.cursor for b in seen] == ["1:1"]
