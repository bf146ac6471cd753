"""Folders of any name, on servers with any separator and prefix."""

import unicodedata
from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap import ImapSource
from tests.servers.imapfake import FakeFolder, FakeImap
from tests.servers.imapfake_calls import messages

Make = Callable[..., ImapSource]


def reads(source: ImapSource) -> bool:
    source.open()
    return len(messages(source)) == 1


def folder(separator: str = '"/"') -> FakeFolder:
    made = FakeFolder(uid_validity=5, separator=separator)
    made.add(b"Subject: x\r\n\r\n")
    return made


@pytest.mark.parametrize(
    ("wire", "separator"),
    [
        ("INBOX.Archive.2026", '"."'),
        ("Archive.2026", '"."'),
        ("Archive/2026", '"/"'),
        ("INBOX/Archive/2026", '"/"'),
        ("Archive\\2026", '"\\\\"'),
        ("Archive|2026", '"|"'),
    ],
)
@pytest.mark.parametrize("wanted", ["Archive/2026", "the server's"])
def test_separators_and_prefixes(server: FakeImap, make_source: Make, wire: str, separator: str, wanted: str) -> None:
    server.folders[wire] = folder(separator)
    assert reads(make_source(folder=wire if wanted == "the server's" else wanted))


@pytest.mark.parametrize("wire", ["INBOX.Archive.2026", "Archive/2026"])
def test_the_target_of_move_is_found_in_the_same_way(server: FakeImap, make_source: Make, wire: str) -> None:
    server.folders[wire] = folder('"."' if "." in wire else '"/"')
    source = make_source(action="Move", target="Archive/2026")
    source.open()
    assert source._actions._target.name.decode() == wire


@pytest.mark.parametrize("name", ["Shared", "a.b", "a/b"])
def test_a_server_without_levels(server: FakeImap, make_source: Make, name: str) -> None:
    server.folders["INBOX"].separator = "NIL"
    server.folders[name] = folder("NIL")
    assert reads(make_source(folder=name))


@pytest.mark.parametrize(
    ("wire", "wanted"),
    [
        ("Entw&APw-rfe &- mehr/&U,BTFw-", "Entwürfe & mehr/台北"),
        ("&2D3cDA-", "\U0001f40c"),
        ("Entwürfe", "Entwürfe"),  # a server that sends UTF-8 although nobody allowed it
        ("Entwu&Awg-rfe", "Entwürfe"),  # u and two dots: decomposed
        ("Tom & Jerry", "Tom & Jerry"),  # a server that knows no modified UTF-7
        ('Quote "x" \\ y', 'Quote "x" \\ y'),
    ],
)
def test_names_of_any_language(server: FakeImap, make_source: Make, wire: str, wanted: str) -> None:
    server.folders[wire] = folder()
    assert reads(make_source(folder=wanted))
    assert reads(make_source(folder=unicodedata.normalize("NFD", wanted)))


@pytest.mark.parametrize(
    "line",
    [
        b'* LIST () "/" 007\r\n',
        b'* LIST () "/" {3}\r\n007\r\n',
        b'* LIST () {1}\r\n/ "007"\r\n',
        b'* LIST (\\HasNoChildren \\X-Odd) NIL "007" ("CHILDINFO" ("SUBSCRIBED"))\r\n',
        b'* list (\\Marked) "/" "007"\r\n',
    ],
)
def test_names_in_other_forms(server: FakeImap, make_source: Make, line: bytes) -> None:
    server.folders["Done"] = folder()
    server.quirks.answers["LIST"] = b'* LIST nonsense\r\n* LIST (\\X) "/"\r\n' + line + b"TAG OK done\r\n"
    source = make_source(action="Move", target="007")
    source.open()
    assert source._actions._target.name == b"007"


@pytest.mark.parametrize("attribute", [r"\Noselect", r"\NonExistent", r"\HasChildren \NOSELECT"])
def test_a_folder_that_holds_no_mails(server: FakeImap, make_source: Make, attribute: str) -> None:
    server.folders["INBOX.Archive"] = FakeFolder(attributes=attribute, separator='"."')
    server.folders["INBOX.Archive.2026"] = folder('"."')
    with pytest.raises(SourceError) as caught:
        make_source(folder="Archive").open()
    assert caught.value.reason == "FolderNotFound"
    assert "INBOX.Archive.2026" in caught.value.message


def test_a_name_that_looks_like_another_is_not_taken(server: FakeImap, make_source: Make) -> None:
    server.folders["archive/2026"] = folder()
    with pytest.raises(SourceError) as caught:
        make_source(folder="Archive/2026").open()
    assert caught.value.reason == "FolderNotFound"
