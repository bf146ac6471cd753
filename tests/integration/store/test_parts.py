"""Commits that move only some parts of the state."""

from mailfetch_fetcher.store.model import Batch, LogLine, WantedAction
from tests.integration.store.helpers import Store, batch, mail, open_new
from tests.servers.proxy import FaultProxy

MOVE = WantedAction(kind="Move", folder="Done things")


def test_mails_may_be_committed_without_moving_the_cursor(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    before = store.state()
    mailbox.commit(Batch(mails=[mail(7)]))
    after = store.state()
    assert (after["cursor"], after["anchor"]) == (before["cursor"], before["anchor"])
    assert store.log()[-1]["cursor"] == before["cursor"]
    assert store.log()[-1]["seq"] == after["seq"]
    assert (mailbox.state.cursor, mailbox.state.anchor) == (before["cursor"], before["anchor"])
    assert [e["uid"] for e in store.entries()] == ["1", "7"]


def test_a_phase_is_stored_logged_and_read_again(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    mailbox.commit(Batch(phase="Reset 1800000000", log=[LogLine(step="reset")]))
    assert (mailbox.state.phase, mailbox.state.cursor) == ("Reset 1800000000", "1700000000/1")
    assert store.log()[-1]["step"] == "reset"
    assert store.log()[-1]["phase"] == "Reset 1800000000"
    assert open_new(store.mailbox()).phase == "Reset 1800000000"


def test_a_phase_clears_the_anchor_of_the_old_numbers(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    assert mailbox.state.anchor
    mailbox.commit(Batch(phase="Reset 1800000000"))
    mailbox.commit(Batch(mails=[mail(9)]))
    assert mailbox.state.anchor == store.state()["anchor"] == ""
    mailbox.commit(Batch(phase="Steady", cursor="1800000000/9", anchor="9:0123456789abcdef"))
    assert mailbox.state.anchor == store.state()["anchor"] == "9:0123456789abcdef"
    assert open_new(store.mailbox()).anchor == "9:0123456789abcdef"


def test_a_request_advances_with_its_mails(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    mailbox.commit(Batch(mails=[mail(1, refetch="uid:1")], refetch='{"value": "uid:1"}'))
    assert mailbox.state.refetch == store.state()["refetch"] == '{"value": "uid:1"}'
    assert open_new(store.mailbox()).refetch == '{"value": "uid:1"}'


def test_a_mail_that_is_asked_for_again_has_another_id_and_no_word_in_the_ledger(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1), mail(2)))
    anchor = mailbox.state.anchor
    for value in ("uid:1", "uid:1#2"):
        mailbox.commit(Batch(mails=[mail(1, refetch=value, action=None)], refetch=value))
    first, second, third = (e["id"] for e in store.entries() if e["uid"] == "1")
    assert second.startswith(first + "~")
    assert third.startswith(first + "~")
    assert len({first, second, third}) == 3
    assert store.known() == 2
    assert mailbox.state.anchor == anchor


def test_what_was_seen_of_a_group_needs_no_log_line(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1)))
    lines = len(store.log())
    mailbox.commit(Batch(group_seen='{"group": "crm"}'))
    assert len(store.log()) == lines
    assert mailbox.state.group_seen == store.state()["groupSeen"] == '{"group": "crm"}'
    assert open_new(store.mailbox()).group_seen == '{"group": "crm"}'


def test_an_approval_is_used_up(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(Batch(phase="Steady", gate_epoch=7))
    assert mailbox.state.gate_epoch == 7
    assert store.state()["gateEpoch"] == "7"


def test_actions_are_translated_in_their_place_or_dropped_with_a_line(store: Store) -> None:
    mailbox = store.opened()
    mailbox.commit(batch(mail(1, action=MOVE), mail(2), mail(3)))
    first, second, third = store.outbox()
    lines = len(store.log())
    changes = {
        first: first.replace("1700000000/1 ", "1800000000/5 "),
        second: "",
        "1700000000/99 f MarkSeen pending 1-1 ": "",
    }
    mailbox.commit(Batch(cursor="1800000000/9", phase="Steady", outbox=changes))
    assert store.outbox() == [changes[first], third]
    (line,) = store.log()[lines:]  # what was not there any more needs none
    assert (line["category"], line["result"], line["step"]) == ("AfterDownload", "Dropped", "MarkSeen")
    assert line["entry"] == store.ids()[1]
    assert (line["cursor"], line["seq"], line["phase"]) == ("1800000000/9", store.state()["seq"], "Steady")
    assert [a.key for a in mailbox.due_actions().actions] == ["1800000000/5", "1700000000/3"]


def test_every_part_survives_a_lost_reply(store: Store, proxy: FaultProxy) -> None:
    mailbox = store.opened(url=f"redis://127.0.0.1:{proxy.port}")
    mailbox.commit(batch(mail(1), mail(2)))
    first, second = store.outbox()
    stage = mailbox.stage()
    stage.begin()
    stage.walk([mail(1).identity])
    proxy.lose_reply_to(b"cursor-behind-it")
    changes = {first: first.replace("1700000000/1 ", "1800000000/5 "), second: ""}
    mailbox.commit(
        Batch(cursor="cursor-behind-it", phase="Steady", staged=True, outbox=changes, refetch="r", gate_epoch=3)
    )
    assert proxy.faults == 1
    assert store.outbox() == [changes[first]]
    assert sum(line["result"] == "Dropped" for line in store.log()) == 1
    assert store.known() == 1
    assert {k: store.state()[k] for k in ("phase", "refetch", "gateEpoch")} == {
        "phase": "Steady",
        "refetch": "r",
        "gateEpoch": "3",
    }
    mailbox.commit(batch(mail(3)))  # the chain of tips goes on
