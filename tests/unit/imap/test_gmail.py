"""On Gmail, Delete moves to the Trash, whatever its name."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.imapfake_calls import action, finish, results
from tests.servers.mailgen import make_mail

Open = Callable[..., ImapSource]
PLAIN = "IMAP4rev1"
pytestmark = pytest.mark.usefixtures("five_mails")


GMAIL = "IMAP4rev1 UIDPLUS MOVE X-GM-EXT-1 SPECIAL-USE"


@pytest.fixture
def trash(server: FakeImap) -> FakeFolder:
    server.folders["[Gmail]"] = FakeFolder(uid_validity=8, attributes=r"\HasChildren \Noselect")
    server.folders["[Gmail]/Papierkorb"] = FakeFolder(uid_validity=9, attributes=r"\HasNoChildren \Trash")
    return server.folders["[Gmail]/Papierkorb"]


@pytest.mark.parametrize("capabilities", [GMAIL, "IMAP4rev1 UIDPLUS X-GM-EXT-1", "IMAP4rev1 X-GM-EXT-1 MOVE"])
def test_delete_on_gmail_moves_to_the_trash(
    server: FakeImap, open_source: Open, trash: FakeFolder, capabilities: str
) -> None:
    server.quirks.after_login = capabilities
    source = open_source(action="Delete")
    assert results(finish(source, action(1, "Delete"), action(3, "Delete"))) == {1: "done", 3: "done"}
    assert server.inbox.uids == [2, 4, 5]
    assert [m.raw for m in trash.mails] == [make_mail(0), make_mail(2)]
    assert any(c.endswith("RETURN (SPECIAL-USE)") for c in server.commands) is ("SPECIAL-USE" in capabilities)


def test_delete_in_the_trash_of_gmail_removes(server: FakeImap, open_source: Open, trash: FakeFolder) -> None:
    server.quirks.after_login = GMAIL
    trash.add(make_mail(1))
    source = open_source(action="Delete", folder="[Gmail]/Papierkorb")
    assert results(finish(source, action(1, "Delete", uid_validity="9"))) == {1: "done"}
    assert trash.mails == []
    assert "UID EXPUNGE 1" in server.commands


def test_gmail_that_hides_its_trash(server: FakeImap, open_source: Open, trash: FakeFolder) -> None:
    server.quirks.after_login = GMAIL
    del server.folders["[Gmail]/Papierkorb"]
    with pytest.raises(SourceError, match="Show in IMAP") as caught:
        open_source(action="Delete")
    assert caught.value.reason == "InvalidConfiguration"
    open_source(action="MarkSeen")
    assert not trash.mails


def test_other_servers_have_no_use_for_their_trash(server: FakeImap, open_source: Open, trash: FakeFolder) -> None:
    assert results(finish(open_source(action="Delete"), action(1, "Delete"))) == {1: "done"}
    assert server.inbox.uids == [2, 3, 4, 5]
    assert trash.mails == []
