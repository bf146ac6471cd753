"""Moving, and copying where the server has no MOVE: after a crash no mail is copied twice, and none is lost."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import ActionPhase, PendingAction
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeImap
from tests.servers.imapfake_calls import Outbox, action, finish, results
from tests.servers.mailgen import make_mail

Open = Callable[..., ImapSource]
PLAIN = "IMAP4rev1"
pytestmark = pytest.mark.usefixtures("five_mails")


def test_move(server: FakeImap, open_source: Open) -> None:
    outbox = Outbox()
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(1, "Move"), action(2, "Move"), outbox=outbox)) == {1: "done", 2: "done"}
    assert server.inbox.uids == [3, 4, 5]
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(0), make_mail(1)]
    assert outbox.phases == []


def test_move_without_the_extension_writes_each_phase_first(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    outbox = Outbox()
    [outcome] = finish(open_source(action="Move", target="Done"), action(2, "Move"), outbox=outbox)
    assert (outcome.result, outcome.action.member) == ("done", "2/copied")
    assert outbox.phases == [([2], "copying"), ([2], "copied")]
    assert server.inbox.uids == [1, 3, 4, 5]
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(1)]


def test_a_crash_before_copy_is_made_up_for(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(2, "Move", phase="copying"))) == {2: "done"}
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(1)]
    assert server.inbox.uids == [1, 3, 4, 5]


@pytest.mark.parametrize("raw", [make_mail(1), b"Subject: no message id\r\n\r\nbody\r\n"])
def test_a_crash_after_copy_makes_no_second_copy(server: FakeImap, open_source: Open, raw: bytes) -> None:
    server.quirks.after_login = PLAIN
    server.inbox.mails[1].raw = raw
    server.folders["Done"].add(make_mail(9))
    server.folders["Done"].add(raw)
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(2, "Move", phase="copying"))) == {2: "done"}
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(9), raw]
    assert server.inbox.uids == [1, 3, 4, 5]


def test_a_crash_after_copied_only_removes(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    assert results(finish(open_source(action="Move", target="Done"), action(2, "Move", phase="copied"))) == {2: "done"}
    assert server.folders["Done"].mails == []
    assert server.inbox.uids == [1, 3, 4, 5]


def test_a_refused_copy_leaves_the_mail_and_the_phase(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    server.quirks.answers["UID COPY"] = b"TAG NO [OVERQUOTA] full\r\n"
    [outcome] = finish(open_source(action="Move", target="Done"), action(2, "Move"))
    assert (outcome.result, outcome.action.phase) == ("failed", "copying")
    assert "full" in outcome.detail
    assert server.inbox.uids == [1, 2, 3, 4, 5]


# ---- copying in batches ----


def moves(*uids: int, phase: ActionPhase = "pending") -> list[PendingAction]:
    return [action(uid, "Move", phase=phase) for uid in uids]


def copies(server: FakeImap) -> list[str]:
    return [c for c in server.commands if c.startswith("UID COPY")]


def test_a_batch_is_copied_with_one_command_and_one_change_of_phase_each(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    outbox = Outbox()
    outcomes = finish(open_source(action="Move", target="Done"), *moves(1, 2, 3, 5), outbox=outbox)
    assert results(outcomes) == {1: "done", 2: "done", 3: "done", 5: "done"}
    assert outbox.phases == [([1, 2, 3, 5], "copying"), ([1, 2, 3, 5], "copied")]
    assert copies(server) == ['UID COPY 1:3,5 "Done"']
    assert "UID EXPUNGE 1:3,5" in server.commands
    assert server.inbox.uids == [4]
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(n) for n in (0, 1, 2, 4)]
    assert {o.action.member for o in outcomes} == {"1/copied", "2/copied", "3/copied", "5/copied"}


def test_phases_of_all_kinds_in_one_batch(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    server.folders["Done"].add(make_mail(1))  # UID 2 was copied before the crash, UID 3 was not, UID 4 is long there
    batch = [*moves(1), *moves(2, 3, phase="copying"), *moves(4, phase="copied")]
    outbox = Outbox()
    assert set(results(finish(open_source(action="Move", target="Done"), *batch, outbox=outbox)).values()) == {"done"}
    assert copies(server) == ['UID COPY 1,3 "Done"']
    assert outbox.phases[0] == ([1], "copying")
    assert (sorted(outbox.phases[1][0]), outbox.phases[1][1]) == ([1, 2, 3], "copied")
    assert server.inbox.uids == [5]


def test_twins_are_copied_as_often_as_they_are_there(server: FakeImap, open_source: Open) -> None:
    """Two mails with the same Message-ID, date and size: one copy in the target is the copy of one."""
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    server.inbox.mails[1].raw = make_mail(0)
    server.folders["Done"].add(make_mail(0))
    batch = moves(1, 2, phase="copying")
    assert results(finish(open_source(action="Move", target="Done"), *batch)) == {1: "done", 2: "done"}
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(0), make_mail(0)]
    assert server.inbox.uids == [3, 4, 5]


def test_one_refused_copy_does_not_hold_up_the_others(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    source = open_source(action="Move", target="Done")
    session = server.sessions[-1]
    real = session._uid_copy

    def refuse_second(rest: str) -> None:
        if 2 in {m.uid for m in server.inbox.chosen(rest.split(" ")[0])}:
            session.send(session.tag + b" NO [OVERQUOTA] too big\r\n")
        else:
            real(rest)

    session._uid_copy = refuse_second  # type: ignore[method-assign]
    outcomes = finish(source, *moves(1, 2, 3))
    assert results(outcomes) == {1: "done", 2: "failed", 3: "done"}
    assert {o.action.uid: o.action.phase for o in outcomes} == {1: "copied", 2: "copying", 3: "copied"}
    assert server.inbox.uids == [2, 4, 5]
    assert len(server.folders["Done"].mails) == 2


def test_a_copied_mail_waits_for_what_others_flagged(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    server.inbox.mails[4].flags.add(r"\Deleted")
    source = open_source(action="Move", target="Done")
    [outcome] = finish(source, *moves(1))
    assert (outcome.result, outcome.action.phase) == ("failed", "copied")
    server.inbox.mails[4].flags.clear()
    [outcome] = finish(source, outcome.action)
    assert outcome.result == "done"
    assert len(server.folders["Done"].mails) == 1


def test_move_is_not_used_for_what_may_be_copied_already(server: FakeImap, open_source: Open) -> None:
    """The server has learnt MOVE since the crash."""
    server.folders["Done"].add(make_mail(1))
    assert results(finish(open_source(action="Move", target="Done"), *moves(2, phase="copying"))) == {2: "done"}
    assert len(server.folders["Done"].mails) == 1
    assert server.inbox.uids == [1, 3, 4, 5]


@pytest.mark.parametrize("target", ["F1", "F11"])
def test_a_server_that_names_its_folders_tells_an_alias(server: FakeImap, open_source: Open, target: str) -> None:
    server.quirks.select_codes = b"* OK [MAILBOXID (F1)] named\r\n"
    server.quirks.answers["STATUS"] = b'* STATUS "Done" (UIDVALIDITY 1 MAILBOXID (%s))\r\nTAG OK\r\n' % target.encode()
    source = open_source(action="Move", target="Done")
    if target == "F1":
        with pytest.raises(SourceError, match="is the folder 'INBOX' itself"):
            finish(source, *moves(1))
    else:
        assert results(finish(source, *moves(1))) == {1: "done"}
    assert server.inbox.uids == ([1, 2, 3, 4, 5] if target == "F1" else [2, 3, 4, 5])
    assert [c for c in server.commands if c.startswith("STATUS")] == ['STATUS "Done" (UIDVALIDITY MAILBOXID)']


def test_a_target_that_went_in_mid_session(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="Move", target="Done")
    server.quirks.answers["STATUS"] = b"TAG NO [NONEXISTENT] no such folder\r\n"
    with pytest.raises(SourceError) as caught:
        finish(source, *moves(1))
    assert caught.value.reason == "FolderNotFound"
    assert "spec.afterDownload.folder" in caught.value.message
    assert server.inbox.uids == [1, 2, 3, 4, 5]
