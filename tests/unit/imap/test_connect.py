"""Connecting and logging in: no password leaves unencrypted by accident, and every failure tells what to change."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import Pace
from mailfetch_fetcher.sources.imap import ImapSource
from mailfetch_fetcher.sources.imap_connect import told_capabilities
from mailfetch_fetcher.sources.imap_wire import Answer
from tests.servers.imapfake import CUT, SILENCE, FakeFolder, FakeImap
from tests.unit.logins import *  # noqa: F403 - more tests
from tests.unit.logins import failure

Make = Callable[..., ImapSource]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN SASL-IR", "IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
def test_every_way_to_log_in(server: FakeImap, make_source: Make, capabilities: str) -> None:
    server.quirks.before_login = capabilities
    assert make_source().open().insecure
    assert server.secrets == [b"user", b"pass"]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN SASL-IR", "IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
@pytest.mark.parametrize(
    "secret", ["pässwörd \U0001f511", 'quote " and \\ backslash', "a:b c", "line\nbreak", "x" * 5000]
)
def test_any_password_arrives_as_it_is(server: FakeImap, make_source: Make, capabilities: str, secret: str) -> None:
    server.quirks.before_login = capabilities
    error = failure(make_source(username="jörg", password=secret))
    assert server.secrets == ["jörg".encode(), secret.encode()]
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert "wrong" in error.message


def test_a_refusal_that_repeats_the_password_does_not_show_it(server: FakeImap, make_source: Make) -> None:
    server.quirks.answers["AUTHENTICATE"] = b"TAG NO bad login user/s3cret-word\r\n"
    assert "s3cret-word" not in failure(make_source(password="s3cret-word")).message


def test_nul_is_refused_before_it_is_sent(server: FakeImap, make_source: Make) -> None:
    assert failure(make_source(password="a\0b")).reason == "InvalidConfiguration"
    assert server.secrets == []


def test_login_disabled_without_encryption(server: FakeImap, make_source: Make) -> None:
    server.quirks.before_login = "IMAP4rev1 STARTTLS LOGINDISABLED"
    error = failure(make_source())
    assert error.reason == "InvalidConfiguration"
    assert "StartTLS" in error.message
    assert server.secrets == []


def test_no_password_login_at_all(server: FakeImap, make_source: Make) -> None:
    server.quirks.before_login = "IMAP4rev1 STARTTLS LOGINDISABLED AUTH=XOAUTH2"
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "AuthFailed"
    assert "AUTH=XOAUTH2" in error.message


def test_starttls(server: FakeImap, make_source: Make) -> None:
    server.quirks.before_login = "IMAP4rev1 STARTTLS AUTH=PLAIN"
    assert not make_source(encryption="StartTLS").open().insecure
    assert server.secrets == [b"user", b"pass"]
    asked = [c for c in server.commands if c in ("CAPABILITY", "STARTTLS")]
    assert asked[:3] == ["CAPABILITY", "STARTTLS", "CAPABILITY"]  # what was said in the clear is forgotten


def test_starttls_is_not_offered(server: FakeImap, make_source: Make) -> None:
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "TLSFailed"
    assert "does not offer STARTTLS" in error.message
    assert server.secrets == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"TAG NO not now\r\n", "refused STARTTLS"),
        (b"TAG OK go\r\nM3 OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] injected\r\n", "before TLS began"),
        (b"TAG OK go\r\n" + CUT, "TLS handshake"),
    ],
)
def test_starttls_goes_wrong(server: FakeImap, make_source: Make, answer: bytes, words: str) -> None:
    server.quirks.before_login = "IMAP4rev1 STARTTLS AUTH=PLAIN"
    server.quirks.answers["STARTTLS"] = answer
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "TLSFailed"
    assert words in error.message
    assert server.secrets == []


@pytest.mark.parametrize(("encryption", "reason"), [("StartTLS", "TLSFailed"), ("None", "InvalidConfiguration")])
def test_preauth_in_the_clear(server: FakeImap, make_source: Make, encryption: str, reason: str) -> None:
    server.quirks.greeting = b"* PREAUTH welcome\r\n"
    error = failure(make_source(encryption=encryption))
    assert error.reason == reason
    assert "PREAUTH" in error.message


@pytest.mark.parametrize(
    ("text", "retry_after"),
    [
        ("[UNAVAILABLE] try later", None),
        ("[LIMIT] Too many simultaneous connections", None),
        ("Request is throttled. Suggested Backoff Time: 299961 milliseconds", 299.961),
    ],
)
def test_throttling_is_not_a_wrong_password(
    server: FakeImap, make_source: Make, text: str, retry_after: float | None
) -> None:
    server.quirks.answers["AUTHENTICATE"] = f"TAG NO {text}\r\n".encode()
    error = failure(make_source())
    assert error.reason == "Throttled"
    assert error.retry_after == pytest.approx(retry_after) if retry_after else error.retry_after is None


def test_a_greeting_that_says_bye(server: FakeImap, make_source: Make) -> None:
    server.quirks.greeting = b"* BYE Too many connections from your IP\r\n"
    assert failure(make_source()).reason == "Throttled"


def test_something_else_than_imap(server: FakeImap, make_source: Make) -> None:
    server.quirks.greeting = b"220 smtp.mail.test ESMTP\r\n"
    error = failure(make_source())
    assert error.reason == "ConnectionFailed"
    assert "does not speak IMAP" in error.message


def test_a_server_without_tls_on_the_tls_port(make_source: Make) -> None:
    error = failure(make_source(encryption="TLS"))
    assert error.reason == "TLSFailed"
    assert "StartTLS" in error.message


def test_silence_after_the_password(server: FakeImap, make_source: Make) -> None:
    server.quirks.answers["AUTHENTICATE"] = SILENCE
    error = failure(make_source(timeout=0.3))
    assert (error.reason, "0.3 s" in error.message) == ("ConnectionFailed", True)


def test_a_missing_folder_names_those_like_it(server: FakeImap, make_source: Make) -> None:
    for name in ("Support", "Supplier", "Trash"):
        server.folders[name] = FakeFolder()
    error = failure(make_source(folder="Suport"))
    assert error.reason == "FolderNotFound"
    assert "Support" in error.message
    assert "Trash" not in error.message


def test_a_missing_target_of_move(make_source: Make) -> None:
    error = failure(make_source(action="Move", target="Archive"))
    assert error.reason == "FolderNotFound"
    assert "spec.afterDownload.folder" in error.message


def test_moving_into_the_folder_itself(make_source: Make) -> None:
    error = failure(make_source(folder="inbox", action="Move", target="Inbox"))
    assert error.reason == "InvalidConfiguration"
    assert "itself" in error.message


@pytest.mark.parametrize("action", ["MarkSeen", "Delete"])
def test_a_flag_that_cannot_be_set_for_ever(server: FakeImap, make_source: Make, action: str) -> None:
    server.quirks.permanent_flags = r"\Answered \Flagged"
    error = failure(make_source(action=action))
    assert error.reason == "InvalidConfiguration"
    assert action in error.message


def test_a_folder_that_can_only_be_read(server: FakeImap, make_source: Make) -> None:
    server.quirks.answers["SELECT"] = b"* OK [UIDVALIDITY 1] v\r\nTAG OK [READ-ONLY] selected\r\n"
    error = failure(make_source(action="MarkSeen"))
    assert error.reason == "InvalidConfiguration"
    assert "read-only" in error.message


def test_a_missing_right(server: FakeImap, make_source: Make) -> None:
    server.quirks.after_login = "IMAP4rev1 UIDPLUS ACL"
    server.quirks.answers["MYRIGHTS"] = b'* MYRIGHTS "INBOX" lrs\r\nTAG OK done\r\n'
    make_source(action="MarkSeen").open()
    error = failure(make_source(action="Delete"))
    assert error.reason == "InvalidConfiguration"
    assert "right t and e" in error.message


def test_move_by_extension_needs_no_flag(server: FakeImap, make_source: Make) -> None:
    server.folders["Done"] = FakeFolder(uid_validity=2)
    server.quirks.permanent_flags = r"\Seen"
    make_source(action="Move", target="Done").open()
    server.quirks.after_login = "IMAP4rev1 UIDPLUS"
    assert failure(make_source(action="Move", target="Done")).reason == "InvalidConfiguration"


@pytest.mark.parametrize("uid_next", [True, False])
def test_a_folder_is_opened_read_only_where_its_numbers_last(
    server: FakeImap, make_source: Make, uid_next: bool
) -> None:
    """Courier, which tells no UIDNEXT, gives another UIDVALIDITY in each read-only session."""
    server.quirks.uid_next = uid_next
    make_source().open()
    opened = [c.split()[0] for c in server.commands if c.startswith(("SELECT", "EXAMINE"))]
    assert opened == (["EXAMINE"] if uid_next else ["EXAMINE", "SELECT"])


def test_a_server_that_says_capability_completed_still_has_its_capabilities() -> None:
    """Courier and GreenMail end the answer to CAPABILITY with `OK CAPABILITY completed`."""
    answers = [Answer(b"* CAPABILITY IMAP4rev1 UIDPLUS IDLE"), Answer(b"A3 OK CAPABILITY completed.")]
    assert told_capabilities(answers) == {"IMAP4REV1", "UIDPLUS", "IDLE"}
    assert told_capabilities([Answer(b"A2 OK [CAPABILITY IMAP4rev1 MOVE] Logged in")]) == {"IMAP4REV1", "MOVE"}
    assert told_capabilities([Answer(b"A2 OK no CAPABILITY told")]) == frozenset()
