from pathlib import Path

import pytest

from kubectl_mailfetch.authorize.documents import find_connection, find_secret, read_documents
from kubectl_mailfetch.authorize.http import check_authorities
from kubectl_mailfetch.authorize.mailbox import _quoted
from kubectl_mailfetch.errors import Exit, PluginError

FILE = """
apiVersion: v1
kind: List
items:
- {kind: MailConnection, metadata: {name: a}}
- {kind: Secret, metadata: {name: s}}
---
---
kind: MailConnection
metadata: {name: b}
"""


def write(folder: Path, text: str) -> str:
    (folder / "file.yaml").write_text(text)
    return str(folder / "file.yaml")


def test_documents_and_lists_are_read(tmp_path: Path) -> None:
    found = read_documents(write(tmp_path, FILE))
    assert [d["kind"] for d in found] == ["MailConnection", "Secret", "MailConnection"]
    assert find_connection(found, "b", path="f")["metadata"]["name"] == "b"
    assert find_connection(found[:2], "", path="f")["metadata"]["name"] == "a"
    assert find_secret(found, "s") == found[1]
    assert find_secret(found, "t") is None


@pytest.mark.parametrize(("name", "text"), [("c", "no MailConnection c .it has: a, b"), ("", "several.*: a, b")])
def test_which_connection_is_meant_must_be_clear(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(PluginError, match=text):
        find_connection(read_documents(write(tmp_path, FILE)), name, path="f")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a: [secret", "not readable as YAML near line 1"),
        ("just text", "no Kubernetes object"),
        ("{kind: List, items: [text]}", "no Kubernetes object"),
    ],
)
def test_what_cannot_be_read_is_told_without_its_content(tmp_path: Path, content: str, text: str) -> None:
    with pytest.raises(PluginError, match=text) as caught:
        read_documents(write(tmp_path, content))
    assert "secret" not in caught.value.message


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="No such file"):
        read_documents(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("INBOX", '"INBOX"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("A & B", '"A &- B"'),
        ("Entwürfe", '"Entw&APw-rfe"'),
        ("台北", '"&U,BTFw-"'),  # RFC 3501 section 5.1.3
    ],
)
def test_folders_are_written_as_imap_wants_them(folder: str, written: str) -> None:
    assert _quoted(folder) == written


@pytest.mark.parametrize("content", [None, "no certificates"])
def test_authorities_that_cannot_be_used_are_told(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PluginError, match=r"--ca-file names .*ca\.pem, which holds no certificates in PEM") as caught:
        check_authorities(str(file))
    assert caught.value.code is Exit.USAGE
