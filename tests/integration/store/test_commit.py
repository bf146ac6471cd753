"""What a commit writes, and that it writes all of it or nothing."""

from typing import Any

import pytest

from mailfetch_fetcher.errors import Fenced, GateClosed, StoreError
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.commit import CommitPlan, build_commit, number_mails
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import LogLine, Mail, QueuePolicy, WantedAction
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.helpers import KEYS, Store, batch, mail, open_new
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer


def test_the_entry_has_the_documented_fields_in_order(store: Store) -> None:
    mailbox = store.opened()
    one = Mail(
        ref="1700000000/7",
        uid_validity="1700000000",
        uid=7,
        folder="Zustellung",
        identity=b"<a@example.com>",
        body=b"raw \x00\xff bytes",
        size=11,
        sha256="ab" * 32,
        message_id="<a@example.com>",
        sender="Grete <g@example.com>",
        to="support@example.com",
        subject="Grüße \udc80",  # a lone surrogate, as broken headers decode to
        date="Sat, 31 Jan 2026 08:00:00 +0000",
        received="2026-01-31T08:00:00Z",
        flags=r"\Flagged work",
    )
    mailbox.commit(batch(one))
    (entry,) = store.entries()
    assert list(entry) == [
        *("id", "connection", "folder", "uid", "message_id", "from", "to", "subject", "date", "received"),
        *("committed", "size", "sha256", "flags", "raw"),
    ]
    assert entry["id"] == hashes.entry_id(mailbox.state.state_id, f"1700000000/7 {mailbox.digest(one.identity)}")
    assert (entry["connection"], entry["folder"], entry["uid"], entry["size"]) == ("inbox", "Zustellung", "7", "11")
    assert entry["raw"].encode("latin-1") == b"raw \x00\xff bytes"
    assert entry["subject"].encode("latin-1").decode() == "Grüße ?"
    assert entry["flags"] == r"\Flagged work"
    assert entry["sha256"] == "ab" * 32


def test_log_state_counters_outbox_and_ledger_move_together(store: Store) -> None:
    mailbox = store.opened()
    before = store.state()
    absent = LogLine(step="absent", result="Skipped", fields={"ref": "1700000000/3"})
    move = WantedAction(kind="Move", folder="Done things")
    mailbox.commit(batch(mail(1, subject="one"), mail(2, action=move), cursor="1700000000/3", log=(absent,)))
    after = store.state()
    assert after["cursor"] == "1700000000/3"
    assert after["anchor"] == "2:" + mailbox.digest(b"<2@example.com>")
    assert int(after["seq"]) == int(before["seq"]) + 1
    assert after["tip"] != before["tip"]
    assert {k: v for k, v in after.items() if k not in ("cursor", "anchor", "seq", "tip")} == {
        k: v for k, v in before.items() if k not in ("cursor", "anchor", "seq", "tip")
    }
    first, second, third = store.log()
    assert first["step"] == second["step"] == "stored"
    assert first["entry"] == store.ids()[0]
    assert first["subject"] == "one"
    assert first["execution"] == second["execution"] == third["execution"]
    assert "cursor" not in first
    assert "cursor" not in second
    assert (third["step"], third["ref"]) == ("absent", "1700000000/3")
    assert (third["cursor"], third["seq"]) == ("1700000000/3", after["seq"])
    stats = store.client.hgetall(KEYS.stats)
    assert (stats[b"messages"], stats[b"bytes"]) == (b"2", b"16")
    assert store.outbox() == [
        f"1700000000/1 {mailbox.digest(b'<1@example.com>')} MarkSeen pending {store.ids()[0]} ",
        f"1700000000/2 {mailbox.digest(b'<2@example.com>')} Move pending {store.ids()[1]} Done things",
    ]
    assert store.known() == 2
    assert (mailbox.state.seq, mailbox.state.messages) == (int(after["seq"]), 2)
    assert (mailbox.state.cursor, mailbox.state.anchor) == (after["cursor"], after["anchor"])


def test_a_cursor_alone_is_a_checkpoint_in_the_log(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    anchor = store.state()["anchor"]
    mailbox.commit(batch(cursor="1700000000/9"))
    assert store.log()[-1]["step"] == "checkpoint"
    assert store.log()[-1]["cursor"] == "1700000000/9"
    assert store.state()["anchor"] == anchor
    assert len(store.entries()) == 1


def test_the_ledger_is_stored_as_integers(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(*(mail(uid) for uid in range(1, 201))))
    encodings = {store.client.object("encoding", key) for key in store.client.scan_iter(KEYS.prefix + ":known:*")}
    assert encodings == {b"intset"}
    assert store.known() == 200


def test_outbox_order_is_the_order_of_commits(store: Store) -> None:
    mailbox = store.opened()
    for start in (1, 120, 240):
        mailbox.commit(batch(*(mail(uid) for uid in range(start, start + 110))))
    uids = [int(member.split(" ")[0].split("/")[1]) for member in store.outbox()]
    assert uids == [*range(1, 111), *range(120, 230), *range(240, 350)]


def test_a_batch_of_thousands_of_mails_and_log_lines_goes_in(store: Store) -> None:
    mailbox = store.opened()
    lines = tuple(LogLine(step="absent", fields={"ref": f"1/{n}"}) for n in range(3000))
    mailbox.commit(batch(*(mail(uid) for uid in range(1, 4001)), log=lines))
    assert len(store.entries()) == 4000
    assert len(store.log()) == 7000
    assert store.known() == 4000


@pytest.mark.parametrize("ref", ["", "1 2", "1/2\n"])
def test_a_ref_that_would_break_the_outbox_is_refused(store: Store, ref: str) -> None:
    mailbox = store.opened()
    broken = Mail(ref=ref, uid_validity="1", uid=1, folder="f", identity=b"i", body=b"", size=0, sha256="", action=None)
    before = store.snapshot()
    with pytest.raises(ValueError, match="cannot name a mail"):
        mailbox.commit(batch(broken))
    assert store.snapshot() == before


# -- sending it twice ----------------------------------------------------------------------


def test_the_same_command_again_changes_nothing(store: Store) -> None:
    mailbox = store.opened()
    state = mailbox.state
    plan = CommitPlan(
        keys=KEYS,
        state=state,
        batch=batch(mail(1), mail(2)),
        owner=store.state()["owner"],
        tip=store.state()["tip"],
        new_tip="0123456789abcdef",
        committed="2026-01-31T08:15:00Z",
        max_length=1000,
    )
    command = build_commit(plan, number_mails(plan, known={}))
    link = Link(parse_target(store.url, ca_file=None))
    assert link.call(*command)[0] == b"OK"
    after = store.snapshot()
    for _ in range(3):
        assert link.call(*command) == [b"DONE", store.state()["seq"].encode()]
    assert store.snapshot() == after
    link.close()


def test_a_lost_reply_is_asked_for_again(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    proxy.lose_reply_to(b"cursor-behind-it")
    mailbox.commit(batch(mail(1), mail(2), cursor="cursor-behind-it"))
    assert proxy.faults == 1
    assert len(store.entries()) == store.known() == len(store.outbox()) == 2
    mailbox.commit(batch(mail(3)))  # the chain of tips goes on
    assert [e["uid"] for e in store.entries()] == ["1", "2", "3"]
    assert mailbox.state.messages == 3


def test_a_connection_cut_anywhere_loses_and_doubles_nothing(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    body = b"b" * 50_000
    before = dict(proxy.passed)
    mailbox.commit(batch(mail(1, body=body)))
    sent, answered = (proxy.passed[way] - before[way] for way in ("to_server", "to_client"))
    # A command is some bytes longer or shorter than the first: its numbers have more or fewer digits.
    cuts: list[tuple[Any, int]] = [("to_server", n) for n in (0, 1, 20, sent // 3, sent // 2, sent - 60)]
    cuts += [("to_client", n) for n in (0, 1, answered // 2, answered - 1, answered)]
    for uid, (direction, count) in enumerate(cuts, start=2):
        proxy.cut_after(count, direction)
        mailbox.commit(batch(mail(uid, body=body)))
        assert proxy.faults == uid - 1, (direction, count)
    uids = [e["uid"] for e in store.entries()]
    assert uids == [str(uid) for uid in range(1, len(cuts) + 2)]
    assert len(set(e["id"] for e in store.entries())) == len(uids) == store.known() == len(store.outbox())


def test_when_nobody_answers_the_outcome_is_unknown_and_the_life_ends(store: Store, proxy: FaultProxy) -> None:
    pauses: list[float] = []
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}", wait=pauses.append)
    proxy.refuse = True
    proxy.lose_reply_to(b"cursor-behind-it")
    with pytest.raises(StoreError, match="no connection to Redis") as failure:
        mailbox.commit(batch(mail(1), cursor="cursor-behind-it"))
    assert failure.value.reason == "StoreUnavailable"
    assert pauses == [0.05, 0.2, 0.5, 1.0, 2.0]
    proxy.refuse = False
    with pytest.raises(Fenced, match="ended"):
        mailbox.commit(batch(mail(2)))
    again = store.mailbox()
    assert open_new(again).cursor == "cursor-behind-it"  # it had gone in
    assert [e["uid"] for e in store.entries()] == ["1"]


# -- fencing -------------------------------------------------------------------------------


def test_another_owner_fences_and_nothing_is_written(store: Store) -> None:
    old = store.opened()
    new = store.opened()  # the same pod may take over at once
    before = store.snapshot()
    with pytest.raises(Fenced):
        old.commit(batch(mail(1)))
    assert store.snapshot() == before
    new.commit(batch(mail(1)))
    assert len(store.entries()) == 1


def test_another_owner_fences_even_with_the_same_tip(store: Store) -> None:
    mailbox = store.opened()
    store.client.hset(KEYS.state, "owner", "pod-2 0123456789abcdef")
    before = store.snapshot()
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(1)))
    assert store.snapshot() == before


def test_a_changed_tip_fences_even_its_own_owner(store: Store) -> None:
    mailbox = store.opened()
    store.client.hset(KEYS.state, "tip", "somebody-changed-it")
    before = store.snapshot()
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(1)))
    assert store.snapshot() == before


def test_a_store_that_went_back_in_time_fences(server: RedisServer, store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    copy = store.client.dump(KEYS.state)
    mailbox.commit(batch(mail(2)))
    store.client.restore(KEYS.state, 0, copy, replace=True)
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(3)))


def test_a_batch_behind_a_failed_one_is_refused(store: Store) -> None:
    mailbox = store.opened(policy=QueuePolicy(max_length=3))
    mailbox.commit(batch(mail(1)))
    with pytest.raises(StoreError) as failure:
        mailbox.commit(batch(mail(2), mail(3), mail(4)))
    assert failure.value.reason == "QueueFull"
    with pytest.raises(Fenced):
        mailbox.commit(batch(mail(5)))  # small enough to fit, but it would pass over the others
    assert [e["uid"] for e in store.entries()] == ["1"]
    assert store.state()["cursor"] == "1700000000/1"


def test_a_state_that_vanished_closes_the_gate_and_is_not_made_again(store: Store) -> None:
    mailbox = store.opened()
    store.client.delete(KEYS.state)
    with pytest.raises(GateClosed) as closed:
        mailbox.commit(batch(mail(1)))
    assert closed.value.gate == "StateLost"
    assert not store.client.exists(KEYS.state)
    assert not store.entries()


def test_no_script_is_sent_by_its_hash(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    assert b"cmdstat_evalsha" not in store.client.execute_command("INFO", "commandstats")
    assert "redis.call" in scripts.COMMIT
