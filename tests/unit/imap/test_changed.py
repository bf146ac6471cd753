"""A cursor that means nothing any more is noticed, and one that does is not doubted without reason."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import CUT, FakeImap
from tests.servers.imapfake_calls import digest, messages, never
from tests.servers.mailgen import make_mail

Open = Callable[..., ImapSource]


@pytest.fixture(autouse=True)
def five_mails(server: FakeImap) -> None:
    for index in range(5):
        server.inbox.add(make_mail(index))


def anchor(source: ImapSource, uid: int) -> str:
    """As the store has it after the download."""
    [mail] = [m for m in messages(source) if m.ref.uid == uid]
    return f"{uid}:{digest(mail.identity)}"


def changed(source: ImapSource, cursor: str, anchor: str = "") -> str:
    return source.changed(cursor, anchor=anchor, digest=digest)


def test_the_same_mailbox(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    source = open_source()
    server.commands.clear()
    assert changed(source, "1:5", known) == ""
    assert len(server.commands) == 1
    server.commands.clear()
    assert changed(source, "") == changed(source, "1:5") == changed(source, "1:2") == ""
    assert server.commands == []


@pytest.mark.parametrize("now", [5, 4_294_967_295])
def test_another_uidvalidity_smaller_or_larger(server: FakeImap, open_source: Open, now: int) -> None:
    server.inbox.uid_validity = now
    assert f"UIDVALIDITY was 9, is {now}" in changed(open_source(), "9:1")


def test_the_mail_of_the_anchor_may_be_gone(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    del server.inbox.mails[4]
    assert changed(open_source(), "1:5", known) == ""


def test_another_mail_under_the_uid_of_the_anchor(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    server.inbox.mails[4].raw = make_mail(77)
    assert "has UID 5 now" in changed(open_source(), "1:5", known)


def test_a_mailbox_that_went_back_in_time(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    del server.inbox.mails[3:]
    server.inbox.uid_next = 4
    assert "went back in time: UID 5" in changed(open_source(), "1:5", known)
    assert "went back in time: UID 5" in changed(open_source(), "1:5")
    assert changed(open_source(), "1:3") == ""


def test_a_frozen_uidnext_is_refuted_by_the_anchor(server: FakeImap, open_source: Open) -> None:
    known, older = anchor(open_source(), 5), anchor(open_source(), 3)
    server.inbox.uid_next = 4
    assert changed(open_source(), "1:5", known) == ""
    assert "went back in time" in changed(open_source(), "1:5", older)  # says nothing of UIDs 4 and 5


def test_what_this_session_has_read_is_no_journey_in_time(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    assert len(messages(source)) == 5
    server.inbox.add(make_mail(5))
    assert len(messages(source, "1:5")) == 1
    assert changed(source, "1:6") == ""


def test_without_uidnext_only_the_anchor_tells(server: FakeImap, open_source: Open) -> None:
    server.quirks.uid_next = False
    known = anchor(open_source(), 5)
    assert changed(open_source(), "1:5", known) == ""
    server.inbox.mails[4].raw = make_mail(77)
    assert "has UID 5 now" in changed(open_source(), "1:5", known)


def test_an_anchor_that_is_not_shown_says_nothing(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    server.quirks.answers["UID FETCH"] = b"TAG NO [SERVERBUG] cannot read it\r\n"
    assert changed(open_source(), "1:5", known) == ""
    server.quirks.answers["UID FETCH"] = b"TAG NO [LIMIT] wait 60 seconds\r\n"
    with pytest.raises(SourceError) as caught:
        changed(open_source(), "1:5", known)
    assert caught.value.reason == "Throttled"


def test_a_server_that_begins_to_name_its_mails(server: FakeImap, open_source: Open) -> None:
    """After an upgrade its mails have an EMAILID: they are the same mails all the same."""
    known = anchor(open_source(), 5)
    server.quirks.after_login = "IMAP4rev1 OBJECTID"
    source = open_source()
    assert changed(source, "1:5", known) == ""
    assert messages(source)[4].identity == b"object M1005"


def test_a_cursor_of_another_numbering_reads_nothing(server: FakeImap, open_source: Open) -> None:
    with pytest.raises(SourceError, match="UIDVALIDITY changed"):
        open_source().discover("9:3", known=never)


@pytest.mark.parametrize("command", ["NOOP", "UID FETCH", "UID SEARCH"])
def test_a_folder_made_anew_in_mid_session_ends_it(server: FakeImap, open_source: Open, command: str) -> None:
    source = open_source()
    source.snapshot("1:5", known=never)
    server.quirks.answers[command] = b"* OK [UIDVALIDITY 2] made anew\r\nTAG OK done\r\n"
    with pytest.raises(SourceError, match="UIDVALIDITY changed"):
        source.snapshot("1:5", known=never), list(source.discover("1:5", known=never))
    with pytest.raises(SourceError):
        source.snapshot("1:5", known=never)


def test_the_same_uidvalidity_told_again_changes_nothing(server: FakeImap, open_source: Open) -> None:
    source = open_source()
    source.snapshot("1:5", known=never)
    server.quirks.answers["NOOP"] = b"* OK [UIDVALIDITY 1] still\r\n* 5 EXISTS\r\nTAG OK done\r\n"
    assert source.snapshot("1:5", known=never).total == 5


def test_a_cut_while_looking_at_the_anchor(server: FakeImap, open_source: Open) -> None:
    known = anchor(open_source(), 5)
    source = open_source()
    server.quirks.answers["UID FETCH"] = b"* 5 FETCH (UID 5 BODY[HEADER] {100}\r\nMess" + CUT
    with pytest.raises(SourceError, match="broke"):
        changed(source, "1:5", known)
