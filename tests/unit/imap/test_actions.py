"""After-download actions at servers without the usual extensions, and on mails that are not ours."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.imapfake_calls import action, fingerprints, finish, results
from tests.servers.mailgen import make_mail

Open = Callable[..., ImapSource]
PLAIN = "IMAP4rev1"
pytestmark = pytest.mark.usefixtures("five_mails")


def test_mark_seen(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="MarkSeen")
    assert results(finish(source, action(2, "MarkSeen"), action(3, "MarkSeen"))) == {2: "done", 3: "done"}
    assert [m.uid for m in server.inbox.mails if r"\Seen" in m.flags] == [2, 3]
    assert "UID STORE 2:3 +FLAGS.SILENT (\\Seen)" in server.commands


def test_delete_spares_what_others_flagged(server: FakeImap, open_source: Open) -> None:
    server.inbox.mails[4].flags.add(r"\Deleted")
    assert results(finish(open_source(action="Delete"), action(1, "Delete"))) == {1: "done"}
    assert server.inbox.uids == [2, 3, 4, 5]


def test_delete_without_uidplus(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    assert results(finish(open_source(action="Delete"), action(1, "Delete"), action(4, "Delete"))) == {
        1: "done",
        4: "done",
    }
    assert server.inbox.uids == [2, 3, 5]


def test_delete_without_uidplus_waits_for_what_others_flagged(server: FakeImap, open_source: Open) -> None:
    server.quirks.after_login = PLAIN
    server.inbox.mails[4].flags.add(r"\Deleted")
    source = open_source(action="Delete")
    [outcome] = finish(source, action(1, "Delete"))
    assert outcome.result == "failed"
    assert "UID 5" in outcome.detail
    assert "UIDPLUS" in outcome.detail
    assert server.inbox.uids == [1, 2, 3, 4, 5]
    assert not server.inbox.mails[0].flags
    server.inbox.mails[4].flags.clear()
    assert results(finish(source, action(1, "Delete"))) == {1: "done"}
    assert server.inbox.uids == [2, 3, 4, 5]


def test_another_uidvalidity_is_dropped(server: FakeImap, open_source: Open) -> None:
    source = open_source(action="Delete")
    assert results(finish(source, action(1, "Delete", uid_validity="7"))) == {1: "dropped"}
    assert server.inbox.uids == [1, 2, 3, 4, 5]


def test_a_later_session_deletes_only_the_mail_that_was_downloaded(server: FakeImap, open_source: Open) -> None:
    known = fingerprints(open_source())
    server.inbox.mails[1].raw = make_mail(77)  # another mail under UID 2, as after an in-memory restart
    server.inbox.mails[2].date = "02-Jan-2024 10:00:00 +0000"
    del server.inbox.mails[3]
    actions = [action(uid, "Delete", fingerprint=known[uid], same_session=False) for uid in range(1, 6)]
    outcomes = finish(open_source(action="Delete"), *actions)
    assert results(outcomes) == {1: "done", 2: "dropped", 3: "dropped", 4: "done", 5: "done"}
    assert server.inbox.uids == [2, 3]


def test_a_mail_without_message_id_is_compared_by_its_header(server: FakeImap, open_source: Open) -> None:
    server.inbox.mails[0].raw = b"Subject: no id\r\n\r\nbody\r\n"
    known = fingerprints(open_source())
    server.inbox.mails[0].raw = b"Subject: no id\r\n\r\nBODY\r\n"
    acts = [action(1, "Delete", fingerprint=known[1], same_session=False)]
    assert results(finish(open_source(action="Delete"), *acts)) == {1: "done"}


def test_an_alias_of_the_folder_itself_is_refused(server: FakeImap, open_source: Open) -> None:
    server.folders["Done"] = server.folders["INBOX"]
    source = open_source()
    known = fingerprints(source)
    with pytest.raises(SourceError, match="is the folder 'INBOX' itself"):
        finish(open_source(action="Move", target="Done"), action(1, "Move", fingerprint=known[1]))
    assert server.inbox.uids == [1, 2, 3, 4, 5]


def test_another_folder_with_the_same_uidvalidity_is_accepted(server: FakeImap, open_source: Open) -> None:
    server.folders["Done"] = FakeFolder(uid_validity=1)
    server.folders["Done"].add(make_mail(50))
    known = fingerprints(open_source())
    source = open_source(action="Move", target="Done")
    assert results(finish(source, action(1, "Move", fingerprint=known[1]))) == {1: "done"}
    assert server.inbox.uids == [2, 3, 4, 5]
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


def test_a_mail_of_another_session_is_marked_only_if_it_is_the_one(server: FakeImap, open_source: Open) -> None:
    known = fingerprints(open_source())
    server.inbox.mails[1].raw = make_mail(77)
    source = open_source(action="MarkSeen")
    batch = [action(uid, "MarkSeen", fingerprint=known[uid], same_session=False) for uid in (1, 2)]
    assert results(finish(source, *batch)) == {1: "done", 2: "dropped"}
    assert [m.uid for m in server.inbox.mails if m.flags] == [1]


def test_a_server_that_names_its_mails_since_the_download(server: FakeImap, open_source: Open) -> None:
    known = fingerprints(open_source())
    server.quirks.after_login = "IMAP4rev1 UIDPLUS OBJECTID"
    source = open_source(action="Delete")
    assert results(finish(source, action(1, "Delete", fingerprint=known[1], same_session=False))) == {1: "done"}
    assert server.inbox.uids == [2, 3, 4, 5]


def test_two_connections_delete_the_same_mails(server: FakeImap, open_source: Open) -> None:
    known = fingerprints(open_source())
    one, other = open_source(action="Delete"), open_source(action="Delete")
    assert results(finish(one, action(1, "Delete"), action(2, "Delete"))) == {1: "done", 2: "done"}
    late = [action(uid, "Delete", fingerprint=known[uid], same_session=False) for uid in (1, 2, 3)]
    assert results(finish(other, *late)) == {1: "done", 2: "done", 3: "done"}
    assert server.inbox.uids == [4, 5]
