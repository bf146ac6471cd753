"""Folders: nested, of any script, unknown, made anew; and UIDs that change under the same mails."""

import contextlib
import imaplib
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from imapclient.imap_utf7 import encode

from tests.conformance import raw_imap
from tests.conformance.fetching import Connection
from tests.conformance.mailboxes import Mailbox
from tests.conformance.raw_imap import Held
from tests.servers import mailgen

FIRST = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def make_folder(mailbox: Mailbox, *names: str) -> str:
    """Makes a (nested) folder; returns its name as IMAP writes it."""
    written = [encode(name).decode() for name in names]
    with mailbox.imap() as imap:
        for depth in range(1, len(written) + 1):
            imap.create(f'"{mailbox.folder(*written[:depth])}"')  # the outer one may be there already
    return mailbox.folder(*written)


def delete_folder(mailbox: Mailbox, folder: str) -> None:
    """Removes it with its mails; GreenMail fails at a folder that anybody ever had open, there it is renamed."""
    with contextlib.suppress(imaplib.IMAP4.abort), mailbox.imap() as imap:
        raw_imap.ok(imap.delete(f'"{folder}"'))
        return
    with mailbox.imap() as imap:
        raw_imap.ok(imap.rename(f'"{folder}"', f'"{folder}-old"'))


def put(mailbox: Mailbox, folder: str, mails: list[bytes], *, start: int = 0) -> list[Held]:
    """Delivers mails, each a minute after the other; returns what the folder holds."""
    with mailbox.imap() as imap:
        for n, raw in enumerate(mails, start):
            raw_imap.append(imap, folder, raw, received=FIRST + timedelta(minutes=n))
    return mailbox.read(folder)


@pytest.mark.parametrize("path", ["Projekte", "Archive/2026", "Ärger & Co/受信/Καλημέρα", "with blank/and ~tilde"])
def test_nested_folders_of_any_script(mailbox: Mailbox, connection: Connection, path: str) -> None:
    mailbox.need_imap("folders")
    mailbox.fill(list(mailgen.mails(2)))
    held = put(mailbox, make_folder(mailbox, *path.split("/")), list(mailgen.mails(5, start=10)))
    assert len(held) == 5
    connection.once(folder=path)
    connection.must_hold(held)


def test_move_into_a_nested_folder(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need_imap("folders")
    mailbox.fill(list(mailgen.mails(4)))
    before, target = mailbox.read(), make_folder(mailbox, "Erledigt", "Größe")
    connection.once(afterDownload={"action": "Move", "folder": "Erledigt/Größe"})
    assert mailbox.read() == []
    assert Counter(one.raw for one in mailbox.read(target)) == Counter(one.raw for one in before)
    connection.must_hold(before)


def test_an_unknown_folder(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need_imap("folders")
    mailbox.fill(list(mailgen.mails(2)))
    assert "FolderNotFound" in connection.once(fails=True, folder="Nowhere/At all")
    connection.must_hold([])
    held = put(mailbox, make_folder(mailbox, "Nowhere", "At all"), list(mailgen.mails(1, start=5)))
    connection.once(folder="Nowhere/At all")
    connection.must_hold(held)


def test_uid_validity_changes(mailbox: Mailbox, connection: Connection) -> None:
    """The mails are recognised; only the new one comes."""
    mailbox.need_imap("UIDVALIDITY")
    mailbox.need("UIDVALIDITY that can be changed")
    folder = make_folder(mailbox, "Box")
    held = put(mailbox, folder, list(mailgen.mails(30)))
    connection.once(folder="Box")
    mailbox.server.change_uid_validity(mailbox.user, folder)
    held = put(mailbox, folder, list(mailgen.mails(1, start=30)), start=30)
    assert len(held) == 31
    connection.once(folder="Box")
    connection.must_hold(held)
    connection.once(folder="Box")
    connection.must_hold(held)


def test_uid_validity_changes_while_actions_wait(mailbox: Mailbox, connection: Connection) -> None:
    """The folder that Move names is missing at first; then the mails have other UIDs. Each is moved once."""
    mailbox.need_imap("UIDVALIDITY")
    mailbox.need("UIDVALIDITY that can be changed")
    folder = make_folder(mailbox, "Box")
    first = put(mailbox, folder, list(mailgen.mails(10)))
    action = {"action": "Move", "folder": "Done"}
    connection.once(fails=True, folder="Box", afterDownload=action)
    with mailbox.imap() as imap:
        raw_imap.expunge(imap, folder, [first[0].uid, first[1].uid])  # so that the rest moves up
    mailbox.server.change_uid_validity(mailbox.user, folder)
    target = make_folder(mailbox, "Done")
    held = put(mailbox, folder, list(mailgen.mails(1, start=10)), start=10)
    assert len(held) == 9
    connection.once(folder="Box", afterDownload=action)
    assert mailbox.read(folder) == []
    assert Counter(one.raw for one in mailbox.read(target)) == Counter(one.raw for one in held)


def test_a_folder_that_is_made_anew_with_the_same_mails(mailbox: Mailbox, connection: Connection) -> None:
    """As when mails were moved to another server: known ones are recognised, in whatever order they come."""
    mailbox.need_imap("folders")
    folder = make_folder(mailbox, "Box")
    mails = list(mailgen.mails(20))
    old = put(mailbox, folder, mails)
    connection.once(folder="Box")
    delete_folder(mailbox, folder)
    make_folder(mailbox, "Box")
    with mailbox.imap() as imap:
        for n in reversed(range(len(mails))):
            raw_imap.append(imap, folder, mails[n], received=FIRST + timedelta(minutes=n))
    now = put(mailbox, folder, [mailgen.make_mail(20)], start=20)
    assert len(now) == 21
    new = [one for one in now if one.raw not in {known.raw for known in old}]
    connection.once(folder="Box")
    connection.must_hold(old, new)


def test_a_folder_that_vanishes_and_comes_back_empty(mailbox: Mailbox, connection: Connection) -> None:
    mailbox.need_imap("folders")
    folder = make_folder(mailbox, "Box")
    first = put(mailbox, folder, list(mailgen.mails(5)))
    connection.once(folder="Box")
    delete_folder(mailbox, folder)
    connection.once(fails=True, folder="Box")
    make_folder(mailbox, "Box")
    connection.once(folder="Box")
    connection.must_hold(first)
    second = put(mailbox, folder, list(mailgen.mails(3, start=50)), start=50)
    connection.once(folder="Box")
    connection.must_hold(first, second)
