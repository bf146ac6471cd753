"""Recognising the mails of a real Dovecot: names as after the download, at little cost, whatever happened meanwhile."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Listed
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.dovecot import Dovecot
from tests.servers.imapfake_calls import digest, messages, never
from tests.servers.mailgen import REALISTIC, large_mail, mails
from tests.servers.proxy import FaultProxy

Make = Callable[..., ImapSource]
MANY = 20_000
PLAIN = {"encryption": "None", "allow_insecure_login": True}
HARD = [
    b"Subject: no id\r\n\r\nbody\r\n",
    b"Subject: no end of the header\r\n",
    b"\r\nonly a body\r\n",
    b"Message-ID:\r\n <folded@x.test>\r\nSubject: x\r\n\r\n",
    b"Message-ID: <two\r\n\tlines@x.test>\r\n\r\nx\r\n",
    b"Message-ID: \r\nSubject: empty\r\n\r\nx\r\n",
    b"Message-ID: <first@x.test>\r\nMessage-ID: <second@x.test>\r\n\r\nx\r\n",
    b"message-id :  <blank-before-colon@x.test> \r\n\r\nx\r\n",
    b"Subject: in the body only\r\n\r\nMessage-ID: <body@x.test>\r\n",
    b"X-Message-ID: <other@x.test>\r\nIn-Reply-To: <a@x.test>\r\n\r\nx\r\n",
    b"Message-ID: <\xe4\xf6@x.test>\r\n\r\nx\r\n",
    b"Message-ID: <" + b"long" * 300 + b"@x.test>\r\n\r\nx\r\n",
    b"Message-ID: <" + b"very long" * 1_000 + b"@x.test>\r\n\r\nx\r\n",
    b"To: " + b"a@x.test,\r\n " * 10_000 + b"b@x.test\r\nMessage-ID: <late@x.test>\r\n\r\nx\r\n",
    b"From nobody Mon Jan  1 00:00:00 2024\r\nMessage-ID: <mbox@x.test>\r\n\r\nx\r\n",
    b"no colon here\r\nMessage-ID: <after-nonsense@x.test>\r\n\r\nx\r\n",
    b"Subject: blank line of blanks\r\n \t \r\nMessage-ID: <behind-blanks@x.test>\r\n\r\nx\r\n",
    b"Subject: a lone \r return\r\nMessage-ID: <lone-return@x.test>\r\n\r\nx\r\n",
    b"Subject: lone\nnewlines\nMessage-ID: <newline@x.test>\n\nbody\nMessage-ID: <no@x.test>\n",
    b"Subject: mixed\r\nX: 1\n\nMessage-ID: <mixed@x.test>\r\n\r\n",
    b"Subject: NUL \0 here\r\nMessage-ID: <nul\0@x.test>\r\n\r\nx\0\r\n",
    b": no name\r\nMessage-ID: <no-name@x.test>\r\n\r\nx\r\n",
    b"Subject: {5}\r\nMessage-ID: {3}\r\n\r\n{4}\r\n",
    b"Message-ID:<no-blank@x.test>\r\n\r\nx\r\n",
    b'MESSAGE-ID: <(comment) "quoted" \\ @x.test>\r\n\r\nx\r\n',
]


def listed(source: ImapSource) -> list[Listed]:
    return [mail for piece in source.listing() for mail in piece.mails]


def test_a_listing_has_the_names_of_the_download(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, [*HARD, *mails(600), *mails(20, profile=REALISTIC), large_mail(3_000_000)])
    downloaded = messages(open_source(user, part_size=100_000))
    found = listed(open_source(user))
    assert [mail.ref for mail in found] == [mail.ref for mail in downloaded]
    differing = [m.raw for m, mail in zip(downloaded, found, strict=True) if m.identity != mail.name]
    assert differing == []
    assert [mail.received for mail in found] == [mail.received for mail in downloaded]


def test_another_numbering_of_many_known_mails_costs_little(dovecot: Dovecot, user: str, make_source: Make) -> None:
    """What is read from the server after UIDVALIDITY changed, with 20,000 known mails and 7 new ones."""
    dovecot.fill(user, mails(MANY))
    source = make_source(user, **PLAIN)
    source.open()
    known = {mail.name for mail in listed(source)}
    cursor = f"{source._discovery._folder.uid_validity}:{MANY}"
    source.close()
    new = dovecot.fill(user, mails(7, start=MANY))
    dovecot.set_uid_validity(user, 77)
    with FaultProxy(dovecot.imap_port) as proxy:
        source = make_source(user, port=proxy.port, **PLAIN)
        assert source.open().uid_validity == "77"
        assert "is 77" in source.changed(cursor, anchor="", digest=digest)
        unknown = [mail for mail in listed(source) if mail.name not in known]
        assert [m.ref.key for m in unknown] == [f"77/{n}" for n in range(MANY + 1, MANY + 8)]
        results = list(source.fetch([mail.ref for mail in unknown]))
        assert [getattr(item, "raw", None) for item in results] == new
        assert list(source.discover(f"77:{MANY + 7}", known=never)) == []
        assert proxy.passed["to_client"] < 5_000_000
    assert proxy.passed["to_client"] / MANY < 200


def test_dates_of_any_kind(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dates = [
        '"01-Jan-1970 00:00:00 +0000"',
        '"31-Dec-1999 23:59:59 -1200"',
        '"29-Feb-2024 12:00:00 +1400"',
        '"19-Jan-2038 03:14:08 +0000"',
        '" 1-Feb-2030 01:02:03 +0530"',
    ]
    with dovecot.client(user) as imap:
        for date in dates:
            assert imap.append("INBOX", "", date, b"Message-ID: <same@x.test>\r\n\r\nsame\r\n")[0] == "OK"
    downloaded = messages(open_source(user))
    assert [mail.received for mail in downloaded][:3] == [0, 946727999, 1709157600]  # Dovecot does not take the others
    found = listed(open_source(user))
    assert [mail.name for mail in found] == [mail.identity for mail in downloaded]
    assert [mail.received for mail in found] == [mail.received for mail in downloaded]


def test_a_baseline_by_date(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(5), received=datetime(2023, 1, 1, tzinfo=UTC))
    wanted = dovecot.fill(user, mails(4, start=5), received=datetime(2024, 6, 1, tzinfo=UTC))
    source = open_source(user)
    since = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    cursor = source.baseline(since=since).cursor
    look = source.snapshot(cursor, known=never)
    assert (look.new, look.total, look.exact) == (4, 9, False)
    moved_in = dovecot.fill(user, mails(1, start=20), received=datetime(2022, 1, 1, tzinfo=UTC))
    assert [mail.raw for mail in messages(open_source(user), cursor)] == wanted + moved_in
    assert messages(open_source(user), open_source(user).baseline(since=None).cursor) == []


def test_a_sample_and_a_request(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(30))
    dovecot.expunge(user, 7)
    source = open_source(user)
    names = {mail.identity: mail.ref.uid for mail in messages(source)}
    cursor = f"{source._discovery._folder.uid_validity}:20"
    sample = [names[name] for name in source.sample(cursor, 5)]
    assert len(sample) == 5
    assert max(sample) <= 20
    here = partial(source.select, cursor=cursor.replace(":20", ":30"), known=never)
    windows = list(here("uid:5-8,25", after=""))
    assert [ref.uid for w in windows for ref in w.refs] == [5, 6, 8, 25]
    assert [ref.uid for w in here("since:2024-01-01", after=cursor) for ref in w.refs] == list(range(21, 31))


def test_expunges_by_others_do_not_disturb_a_listing(dovecot: Dovecot, user: str, open_source: Make) -> None:
    dovecot.fill(user, mails(50))
    names = {mail.ref.uid: mail.name for mail in listed(open_source(user))}
    source = open_source(user)
    with dovecot.client(user, folder="INBOX") as other:
        other.uid("STORE", "10:20", "+FLAGS", r"(\Deleted)")
        other.expunge()
    found = listed(source)
    left = {uid: name for uid, name in names.items() if not 10 <= uid <= 20}
    # Dovecot may still show what this session has seen; under no UID stands another mail.
    assert {m.ref.uid: m.name for m in found if not 10 <= m.ref.uid <= 20} == left
    assert source.snapshot("", known=never).total == 39
    assert {m.ref.uid: m.name for m in listed(source)} == left


def test_two_connections_to_one_folder(dovecot: Dovecot, user: str, open_source: Make) -> None:
    raws = dovecot.fill(user, mails(20))
    one, two = open_source(user), open_source(user, action="MarkSeen")
    assert [m.raw for m in messages(one)] == [m.raw for m in messages(two)] == raws
    assert [m.name for m in listed(one)] == [m.name for m in listed(two)]


@pytest.mark.parametrize("what", ["deleted", "renamed", "made anew"])
def test_a_folder_that_goes_in_mid_session(dovecot: Dovecot, user: str, make_source: Make, what: str) -> None:
    """Nothing of another folder is ever read as if it were this one: an error, or what was there."""
    dovecot.create_folder(user, "Box")
    raws = dovecot.fill(user, mails(5), folder="Box")
    source = make_source(user, folder="Box")
    validity = source.open().uid_validity
    if what == "renamed":
        dovecot.doveadm("mailbox", "rename", "-u", user, "Box", "Other")
    else:
        dovecot.delete_folder(user, "Box")
    if what == "made anew":
        dovecot.create_folder(user, "Box")
        dovecot.set_uid_validity(user, 3, folder="Box")  # smaller than before
        dovecot.fill(user, mails(5, start=100), folder="Box")
    read: list[bytes | None] = []
    with contextlib.suppress(SourceError):
        read += [mail.raw for mail in messages(source)]
    assert read in ([], raws)
    source = make_source(user, folder="Box")
    if what == "made anew":
        source.open()
        assert f"UIDVALIDITY was {validity}, is 3" in source.changed(f"{validity}:5", anchor="", digest=digest)
    else:
        with pytest.raises(SourceError) as caught:
            source.open()
        assert caught.value.reason == "FolderNotFound"
