"""What is done at the server after the download, and to which mails."""

import pytest

from tests.conformance import raw_imap
from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.conformance.raw_imap import Held
from tests.servers import mailgen

MAILS = 12


def filled(mailbox: Mailbox) -> list[Held]:
    """What it holds after a few deliveries."""
    mailbox.fill(list(mailgen.mails(MAILS)))
    before = mailbox.read()
    assert len(before) == MAILS
    return before


def bodies(held: list[Held]) -> list[bytes]:
    return sorted(one.raw for one in held)


def test_delete(any_mailbox: Mailbox, connection: Connection) -> None:
    before = filled(any_mailbox)
    connection.once(afterDownload={"action": "Delete"})
    assert any_mailbox.read() == []
    connection.must_hold(before)


def test_mark_seen(any_mailbox: Mailbox, connection: Connection) -> None:
    before = filled(any_mailbox)
    connection.once(afterDownload={"action": "MarkSeen"})
    after = any_mailbox.read()
    assert bodies(after) == bodies(before)
    if any_mailbox.protocol == "IMAP":
        assert {one.flags for one in after} == {frozenset({"\\seen"})}
    connection.once(afterDownload={"action": "MarkSeen"})
    connection.must_hold(before)


def test_the_same_mail_again_after_it_was_deleted(mailbox: Mailbox, connection: Connection) -> None:
    """Also where the name of a mail is made from its content, as popa3d does it; each has its own id."""
    for _ in range(3):
        before = filled(mailbox)
        connection.once(afterDownload={"action": "Delete"})
        assert mailbox.read() == []
        connection.once(afterDownload={"action": "Delete"})
    connection.must_hold(before, before, before)


def test_move(any_mailbox: Mailbox, connection: Connection) -> None:
    any_mailbox.need_imap("Move")
    before = filled(any_mailbox)
    target = any_mailbox.folder("Done")
    with any_mailbox.imap() as imap:
        raw_imap.ok(imap.create(f'"{target}"'))
    connection.once(afterDownload={"action": "Move", "folder": "Done"})
    assert any_mailbox.read() == []
    assert bodies(any_mailbox.read(target)) == bodies(before)
    connection.must_hold(before)


def test_move_to_a_folder_that_is_missing_keeps_the_mails(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need_imap("Move")
    before = filled(mailbox)
    told = connection.once(fails=True, afterDownload={"action": "Move", "folder": "Nowhere"})
    assert "Nowhere" in told
    assert bodies(mailbox.read()) == bodies(before)


def test_the_action_is_changed_later(mailbox: Mailbox, connection: Connection) -> None:
    """Mails that were downloaded before the change stay; the next ones are deleted."""
    before = filled(mailbox)
    connection.once()
    more = list(mailgen.mails(3, start=100))
    mailbox.fill(more)
    added = mailbox.read()[MAILS:]
    assert len(added) == len(more)
    connection.once(afterDownload={"action": "Delete"})
    assert bodies(mailbox.read()) == bodies(before)
    connection.must_hold(before, added)


def test_what_others_marked_for_removal_stays(mailbox: Mailbox, connection: Connection) -> None:
    """A mail that another program flagged Deleted before it was downloaded is not expunged with ours."""
    mailbox.need_imap("flags")
    before = filled(mailbox)
    connection.once()
    mailbox.fill(list(mailgen.mails(2, start=100)))
    with mailbox.imap() as imap:
        raw_imap.store(imap, "INBOX", [before[3].uid], r"\Deleted")
    connection.once(afterDownload={"action": "Delete"})
    after = mailbox.read()
    assert bodies(after) == bodies(before)
    assert [one.uid for one in after if "\\deleted" in one.flags] == [before[3].uid]


@pytest.mark.parametrize("action", ["None", "Delete"])
def test_read_mails_are_downloaded_as_well(mailbox: Mailbox, connection: Connection, action: str) -> None:
    mailbox.need_imap("flags")
    before = filled(mailbox)
    with mailbox.imap() as imap:
        raw_imap.store(imap, "INBOX", [one.uid for one in before[::2]], r"\Seen")
    connection.once(afterDownload={"action": action})
    connection.must_hold(before)
