"""After-download actions at servers without the usual extensions, after crashes, and on mails that are not ours."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.imapfake_calls import Outbox, action, digest, finish, messages, results
from tests.servers.mailgen import make_mail

Open = Callable[..., ImapSource]
PLAIN = "IMAP4rev1"


def fingerprints(source: ImapSource) -> dict[int, str]:
    """As the store has them after the download."""
    return {mail.ref.uid: digest(mail.identity) for mail in messages(source)}


@pytest.fixture(autouse=True)
def five_mails(server: FakeImap) -> None:
    server.folders["Done"] = FakeFolder(uid_validity=2)
    for index in range(5):
        server.inbox.add(make_mail(index))


def left(server: FakeImap) -> list[int]:
    return [mail.uid for mail in server.inbox.mails]


def test_mark_seen(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="MarkSeen")
    assert results(finish(source, action(2, "MarkSeen"), action(3, "MarkSeen"))) == {2: "done", 3: "done"}
    assert [m.uid for m in server.inbox.mails if r"\Seen" in m.flags] == [2, 3]
    assert "UID STORE 2:3 +FLAGS.SILENT (\\Seen)" in server.commands


def test_delete_spares_what_others_flagged(server: FakeImap, open_source: Open) -> None:
    server.inbox.mails[4].flags.add(r"\Deleted")
    assert results(finish(open_source(action="Delete"), action(1, "Delete"))) == {1: "done"}
    assert left(server) == [2, 3, 4, 5]


def test_delete_without_uidplus(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    assert results(finish(open_source(action="Delete"), action(1, "Delete"), action(4, "Delete"))) == {
        1: "done",
        4: "done",
    }
    assert left(server) == [2, 3, 5]


def test_delete_without_uidplus_waits_for_what_others_flagged(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    server.inbox.mails[4].flags.add(r"\Deleted")
    source = open_source(action="Delete")
    [outcome] = finish(source, action(1, "Delete"))
    assert outcome.result == "failed"
    assert "UID 5" in outcome.detail
    assert "UIDPLUS" in outcome.detail
    assert left(server) == [1, 2, 3, 4, 5]
    assert not server.inbox.mails[0].flags
    server.inbox.mails[4].flags.clear()
    assert results(finish(source, action(1, "Delete"))) == {1: "done"}
    assert left(server) == [2, 3, 4, 5]


def test_another_uidvalidity_is_dropped(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="Delete")
    assert results(finish(source, action(1, "Delete", uid_validity="7"))) == {1: "dropped"}
    assert left(server) == [1, 2, 3, 4, 5]


def test_a_later_session_deletes_only_the_mail_that_was_downloaded(server: FakeImap, open_source: Open) -> None:
    known = fingerprints(open_source())
    server.inbox.mails[1].raw = make_mail(77)  # another mail under UID 2, as after an in-memory restart
    server.inbox.mails[2].date = "02-Jan-2024 10:00:00 +0000"
    del server.inbox.mails[3]
    actions = [action(uid, "Delete", fingerprint=known[uid], same_session=False) for uid in range(1, 6)]
    outcomes = finish(open_source(action="Delete"), *actions)
    assert results(outcomes) == {1: "done", 2: "dropped", 3: "dropped", 4: "done", 5: "done"}
    assert left(server) == [2, 3]


def test_a_mail_without_message_id_is_compared_by_its_header(server: FakeImap, open_source: Open) -> None:
    server.inbox.mails[0].raw = b"Subject: no id\r\n\r\nbody\r\n"
    known = fingerprints(open_source())
    server.inbox.mails[0].raw = b"Subject: no id\r\n\r\nBODY\r\n"
    acts = [action(1, "Delete", fingerprint=known[1], same_session=False)]
    assert results(finish(open_source(action="Delete"), *acts)) == {1: "done"}


def test_move(server: FakeImap, open_source: Open) -> None:
    outbox = Outbox()
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(1, "Move"), action(2, "Move"), outbox=outbox)) == {1: "done", 2: "done"}
    assert left(server) == [3, 4, 5]
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(0), make_mail(1)]
    assert outbox.phases == []


def test_move_without_the_extension_writes_each_phase_first(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    outbox = Outbox()
    [outcome] = finish(open_source(action="Move", target="Done"), action(2, "Move"), outbox=outbox)
    assert (outcome.result, outcome.action.member) == ("done", "2/copied")
    assert outbox.phases == [([2], "copying"), ([2], "copied")]
    assert left(server) == [1, 3, 4, 5]
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(1)]


def test_a_crash_before_copy_is_made_up_for(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(2, "Move", phase="copying"))) == {2: "done"}
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(1)]
    assert left(server) == [1, 3, 4, 5]


@pytest.mark.parametrize("raw", [make_mail(1), b"Subject: no message id\r\n\r\nbody\r\n"])
def test_a_crash_after_copy_makes_no_second_copy(server: FakeImap, open_source: Open, raw: bytes) -> None:
    server.quirks.after_login = PLAIN
    server.inbox.mails[1].raw = raw
    server.folders["Done"].add(make_mail(9))
    server.folders["Done"].add(raw)
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(2, "Move", phase="copying"))) == {2: "done"}
    assert [m.raw for m in server.folders["Done"].mails] == [make_mail(9), raw]
    assert left(server) == [1, 3, 4, 5]


def test_a_crash_after_copied_only_removes(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    assert results(finish(open_source(action="Move", target="Done"), action(2, "Move", phase="copied"))) == {2: "done"}
    assert server.folders["Done"].mails == []
    assert left(server) == [1, 3, 4, 5]


def test_a_refused_copy_leaves_the_mail_and_the_phase(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    server.quirks.answers["UID COPY"] = b"TAG NO [OVERQUOTA] full\r\n"
    [outcome] = finish(open_source(action="Move", target="Done"), action(2, "Move"))
    assert (outcome.result, outcome.action.phase) == ("failed", "copying")
    assert "full" in outcome.detail
    assert left(server) == [1, 2, 3, 4, 5]


def test_an_alias_of_the_folder_itself_is_refused(server: FakeImap, open_source: Open) -> None:
    server.folders["Done"] = server.folders["INBOX"]
    source = open_source()
    known = fingerprints(source)
    with pytest.raises(SourceError, match="is the folder 'INBOX' itself"):
        finish(open_source(action="Move", target="Done"), action(1, "Move", fingerprint=known[1]))
    assert left(server) == [1, 2, 3, 4, 5]


def test_another_folder_with_the_same_uidvalidity_is_accepted(server: FakeImap, open_source: Open) -> None:
    server.folders["Done"] = FakeFolder(uid_validity=1)
    server.folders["Done"].add(make_mail(50))
    known = fingerprints(open_source())
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(1, "Move", fingerprint=known[1]))) == {1: "done"}
    assert left(server) == [2, 3, 4, 5]
    assert source.wait(30.0)  # what came while the other folder was open is looked for at once


def test_one_refused_mail_does_not_hold_up_the_others(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="MarkSeen")
    session = server.sessions[-1]
    real = session._uid_store

    def refuse_second(rest: str) -> None:
        chosen = {m.uid for m in server.inbox.chosen(rest.split(" ")[0])}
        if chosen & {2, 4}:
            session.send(session.tag + b" NO cannot\r\n")
        else:
            real(rest)

    session._uid_store = refuse_second  # type: ignore[method-assign]
    del server.inbox.mails[3]  # UID 4 is gone: that is why it is refused
    outcomes = finish(source, *[action(uid, "MarkSeen") for uid in range(1, 6)])
    assert results(outcomes) == {1: "done", 2: "failed", 3: "done", 4: "done", 5: "done"}


def test_a_folder_that_refuses_everything_is_not_asked_for_each_mail(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="MarkSeen")
    server.quirks.answers["UID STORE"] = b"TAG NO [NOPERM] no\r\n"
    outcomes = finish(source, *[action(uid, "MarkSeen") for uid in range(1, 6)])
    assert {outcome.result for outcome in outcomes} == {"failed"}
    assert len([c for c in server.commands if c.startswith("UID STORE")]) == 4


def test_throttling_is_not_a_failed_action(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="MarkSeen")
    server.quirks.answers["UID STORE"] = b"TAG NO [UNAVAILABLE] try again later\r\n"
    with pytest.raises(SourceError) as caught:
        finish(source, action(1, "MarkSeen"))
    assert caught.value.reason == "Throttled"
