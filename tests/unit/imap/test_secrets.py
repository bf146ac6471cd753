"""Passwords from files, CA files, and shared TLS contexts."""

from pathlib import Path

import pytest

from mailfetch_fetcher.auth.password import SecretWatch, read_password
from mailfetch_fetcher.contract.spec import Spec, parse_spec
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.imap_settings import ImapSettings, from_spec
from mailfetch_fetcher.tls import client_context
from tests.servers.certs import Certificates


def make_spec(**more: object) -> Spec:
    return parse_spec(
        {
            "protocol": "IMAP",
            "server": {"host": "imap.mail.test"},
            "auth": {"type": "Password", "username": "u", "passwordSecretRef": {"name": "box", "key": "pw"}},
            **more,
        }
    )


def put(directory: Path, content: bytes) -> None:
    (directory / "box").mkdir(parents=True, exist_ok=True)
    (directory / "box" / "pw").write_bytes(content)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret\n"),
        (b" s \n", " s "),
        ("pässwörd\n".encode(), "pässwörd"),
    ],
)
def test_one_newline_at_the_end_is_not_part_of_it(secrets_dir: Path, content: bytes, password: str) -> None:
    put(secrets_dir, content)
    assert read_password(make_spec(), directory=secrets_dir, namespace="ns") == password


@pytest.mark.parametrize("content", [None, b"", b"\n"])
def test_a_missing_password_names_the_command(secrets_dir: Path, content: bytes | None) -> None:
    if content is not None:
        put(secrets_dir, content)
    command = "create secret generic box --from-literal=pw=" if content is None else "patch secret box -p "
    with pytest.raises(SourceError, match=f"kubectl -n ns {command}") as caught:
        read_password(make_spec(), directory=secrets_dir, namespace="ns")
    assert caught.value.reason == "SecretNotFound"


def test_a_password_that_is_no_text_is_not_shown(secrets_dir: Path) -> None:
    put(secrets_dir, b"secr\xff\xfe")
    with pytest.raises(SourceError) as caught:
        read_password(make_spec(), directory=secrets_dir, namespace="ns")
    assert caught.value.reason == "InvalidConfiguration"
    assert caught.value.__cause__ is None
    assert "secr\\" not in repr(caught.value)


def test_the_watch_sees_every_change(secrets_dir: Path) -> None:
    watch = SecretWatch(make_spec(), directory=secrets_dir)
    assert not watch.changed()
    put(secrets_dir, b"one")
    assert watch.changed()
    watch.mark()
    assert not watch.changed()
    put(secrets_dir, b"two")
    assert watch.changed()
    put(secrets_dir, b"one")
    assert not watch.changed()


def test_the_watch_keeps_no_content(secrets_dir: Path) -> None:
    put(secrets_dir, b"very-secret")
    assert b"very-secret" not in repr(vars(SecretWatch(make_spec(), directory=secrets_dir))).encode()


def test_settings_fill_in_every_default() -> None:
    settings = from_spec(make_spec(), password="p")
    assert settings == ImapSettings(
        host="imap.mail.test",
        port=993,
        username="u",
        password="p",
        password_place="key 'pw' of the Secret 'box'",
        action="MarkSeen",
        max_message_size=150 << 20,
    )
    assert "password" not in repr(settings).replace("password_", "")


def test_settings_follow_the_spec() -> None:
    spec = make_spec(
        server={"host": "::1", "encryption": "StartTLS"},
        folder="Box",
        schedule={"timeout": "5s", "push": False},
        afterDownload={"action": "Move", "folder": "Done"},
        queue={"maxMessageSize": "1Mi"},
    )
    settings = from_spec(spec, password="p")
    assert (settings.port, settings.address, settings.folder) == (143, "[::1]:143", "Box")
    assert (settings.timeout, settings.push, settings.action, settings.target) == (5.0, False, "Move", "Done")
    assert settings.max_message_size == 1 << 20


def test_contexts_are_shared(certificates: Certificates) -> None:
    ca = certificates.ca.read_bytes()
    assert client_context(ca) is client_context(bytes(ca))
    assert client_context(None) is client_context(None)
    assert client_context(None) is not client_context(ca)


@pytest.mark.parametrize("ca", [b"not a certificate", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_ca_that_cannot_be_read(ca: bytes) -> None:
    with pytest.raises(SourceError, match=r"spec\.tls\.caSecretRef") as caught:
        client_context(ca)
    assert caught.value.reason == "InvalidConfiguration"
