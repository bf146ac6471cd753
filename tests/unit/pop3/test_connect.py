"""Connecting and logging in: no password leaves unencrypted by accident, and every failure tells what to change."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.contract.spec import parse_spec
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.pop3 import Pop3Source
from mailfetch_fetcher.sources.pop3_settings import from_spec
from tests.servers.ledger import Ledger
from tests.servers.pop3fake import CUT, SILENCE, FakePop3
from tests.unit.logins import *  # noqa: F403 - more tests
from tests.unit.logins import failure

Make = Callable[..., Pop3Source]
WAYS = [("SASL PLAIN LOGIN", "USER"), ("SASL PLAIN",), ("USER",), ("TOP",), (), None]


@pytest.mark.parametrize("capabilities", WAYS)
def test_every_way_to_log_in(server: FakePop3, make_source: Make, capabilities: tuple[str, ...] | None) -> None:
    server.quirks.before_login = capabilities
    opened = make_source().open()
    assert (opened.insecure, opened.can_push, opened.uid_validity) == (True, False, "")
    assert server.secrets == [b"user", b"pass"]


@pytest.mark.parametrize("capabilities", [("SASL PLAIN",), ("USER", "UTF8 USER"), None])
@pytest.mark.parametrize("secret", ["pässwörd \U0001f511", 'quote " and \\ backslash', "a:b c", "x" * 5000])
def test_any_password_arrives_as_it_is(
    server: FakePop3, make_source: Make, capabilities: tuple[str, ...] | None, secret: str
) -> None:
    server.quirks.before_login = capabilities
    error = failure(make_source(username="jörg", password=secret))
    assert server.secrets == ["jörg".encode(), secret.encode()]
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert "wrong" in error.message
    assert server.count("UTF8") == (capabilities == ("USER", "UTF8 USER"))


def test_a_refusal_that_repeats_the_password_does_not_show_it(server: FakePop3, make_source: Make) -> None:
    server.quirks.before_login = None
    server.quirks.answers["PASS"] = b"-ERR bad login user/s3cret-word\r\n"
    error = failure(make_source(password="s3cret-word"))
    assert "s3cret-word" not in error.message
    assert error.__cause__ is None


@pytest.mark.parametrize(("password", "word"), [("a\0b", "NUL"), ("a\nb", "line break"), ("a\rb", "line break")])
def test_what_cannot_be_sent_is_refused_before(server: FakePop3, make_source: Make, password: str, word: str) -> None:
    server.quirks.before_login = None
    error = failure(make_source(password=password))
    assert error.reason == "InvalidConfiguration"
    assert word in error.message
    assert server.count("USER") == 0


def test_no_password_without_encryption(server: FakePop3, make_source: Make) -> None:
    server.quirks.before_login = ("STLS", "UIDL")
    error = failure(make_source())
    assert error.reason == "InvalidConfiguration"
    assert "StartTLS" in error.message
    assert server.secrets == []


def test_no_password_login_at_all(server: FakePop3, make_source: Make) -> None:
    server.quirks.before_login = ("STLS", "SASL XOAUTH2")
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "AuthFailed"
    assert "XOAUTH2" in error.message
    assert server.secrets == []


@pytest.mark.parametrize("capabilities", [("STLS", "USER"), None])
def test_stls(server: FakePop3, make_source: Make, capabilities: tuple[str, ...] | None) -> None:
    server.quirks.before_login = capabilities
    assert not make_source(encryption="StartTLS").open().insecure
    assert server.secrets == [b"user", b"pass"]
    assert server.commands[:3] == ["CAPA", "STLS", "CAPA"]  # what was said in the clear is forgotten


def test_stls_is_not_offered(server: FakePop3, make_source: Make) -> None:
    server.quirks.before_login = ("USER",)
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "TLSFailed"
    assert "does not offer STLS" in error.message
    assert server.secrets == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"-ERR not now\r\n", "refused STLS"),
        (b"+OK go\r\n+OK\r\nUSER\r\n.\r\n", "before TLS began"),
        (b"+OK go\r\n" + CUT, "TLS handshake"),
    ],
)
@pytest.mark.parametrize("capabilities", [("STLS", "USER"), None])
def test_stls_goes_wrong(
    server: FakePop3, make_source: Make, answer: bytes, words: str, capabilities: tuple[str, ...] | None
) -> None:
    server.quirks.before_login = capabilities
    server.quirks.answers["STLS"] = answer
    error = failure(make_source(encryption="StartTLS"))
    assert error.reason == "TLSFailed"
    assert words in error.message
    assert server.secrets == []


@pytest.mark.parametrize("command", ["AUTH", "PASS"])
@pytest.mark.parametrize(
    ("text", "reason", "pace", "word"),
    [
        ("[IN-USE] Do you have another POP session running?", "ConnectionFailed", Pace.QUICK, "another POP3 session"),
        ("Unable to lock maildrop: in use by another client", "ConnectionFailed", Pace.QUICK, "another POP3 session"),
        ("[LOGIN-DELAY] minimum time between mail checks", "Throttled", Pace.SLOW, "spec.schedule.interval"),
        ("[SYS/TEMP] backend away", "ConnectionFailed", Pace.QUICK, "at the moment"),
        ("[SYS/PERM] mailbox is broken", "ConnectionFailed", Pace.CONFIGURATION, "must repair it"),
        ("too many connections from your address", "Throttled", Pace.SLOW, "limits us"),
        ("[AUTH] too many failed logins", "AuthFailed", Pace.SLOW, "app password"),
        ("[AUTH] Web login required", "AuthFailed", Pace.SLOW, "Web login required"),
        ("your mail account is locked", "AuthFailed", Pace.SLOW, "account is locked"),
        ("no", "AuthFailed", Pace.SLOW, "the Secret"),
    ],
)
def test_why_a_login_is_refused(
    server: FakePop3, make_source: Make, command: str, text: str, reason: str, pace: Pace, word: str
) -> None:
    server.quirks.before_login = ("SASL PLAIN",) if command == "AUTH" else None
    server.quirks.answers[command] = f"-ERR {text}\r\n".encode()
    error = failure(make_source())
    assert (error.reason, error.pace) == (reason, pace)
    assert word in error.message


def test_the_login_delay_that_was_announced_is_waited_for(server: FakePop3, open_source: Make) -> None:
    server.quirks.before_login = server.quirks.after_login = ("USER", "UIDL", "LOGIN-DELAY 120")
    source = open_source()
    assert source.login_delay == 120
    source.rest(durable=lambda: True)
    server.quirks.answers["PASS"] = b"-ERR [LOGIN-DELAY] too early\r\n"
    with pytest.raises(SourceError) as caught:
        source.snapshot("", known=Ledger().known)
    assert (caught.value.reason, caught.value.retry_after) == ("Throttled", 120)


def test_a_greeting_that_refuses(server: FakePop3, make_source: Make) -> None:
    server.quirks.greeting = b"-ERR too many connections\r\n"
    assert failure(make_source()).reason == "Throttled"


def test_something_else_than_pop3(server: FakePop3, make_source: Make) -> None:
    server.quirks.greeting = b"* OK IMAP ready\r\n"
    error = failure(make_source())
    assert error.reason == "ConnectionFailed"
    assert "does not speak POP3" in error.message


def test_a_server_without_tls_on_the_tls_port(make_source: Make) -> None:
    error = failure(make_source(encryption="TLS"))
    assert error.reason == "TLSFailed"
    assert "StartTLS" in error.message
    assert "995" in error.message


@pytest.mark.parametrize("command", ["CAPA", "AUTH", "STAT", "UIDL"])
def test_silence_is_noticed(server: FakePop3, make_source: Make, command: str) -> None:
    server.quirks.answers[command] = SILENCE
    error = failure(make_source(timeout=0.3))
    assert (error.reason, "0.3 s" in error.message) == ("ConnectionFailed", True)


@pytest.mark.parametrize("answer", [b"", b"OK\r\n", b"+\r\n", b"+OKAY\r\n", b"\r\n", b"x" * 100_000 + b"\r\n"])
def test_an_answer_that_is_none_ends_the_connection(server: FakePop3, make_source: Make, answer: bytes) -> None:
    server.quirks.answers["STAT"] = answer + CUT
    assert failure(make_source()).reason == "ConnectionFailed"


def test_the_password_is_read_at_each_login(server: FakePop3, make_source: Make) -> None:
    passwords = iter(["pass", "pass", "new"])
    source = make_source(password=lambda: next(passwords))
    source.open()
    for _ in range(2):
        source.rest(durable=lambda: True)
        if server.count("QUIT") == 2:
            with pytest.raises(SourceError):
                source.snapshot("", known=Ledger().known)
        else:
            source.snapshot("", known=Ledger().known)
    assert server.secrets[1::2] == [b"pass", b"pass", b"new"]


def test_a_spec_becomes_settings() -> None:
    auth = {"type": "Password", "username": "u", "passwordSecretRef": {"name": "s"}}
    spec = {"protocol": "POP3", "server": {"host": "pop.test"}, "auth": auth, "schedule": {"timeout": "5s"}}
    settings = from_spec(parse_spec(spec), password=lambda: "secret-word")
    assert (settings.address, settings.timeout, settings.action) == ("pop.test:995", 5.0, "MarkSeen")
    assert settings.max_message_size == 150 << 20
    assert "secret-word" not in repr(settings)
    assert settings.password() == "secret-word"
    with pytest.raises(ValueError, match="POP3 cannot move"):
        from_spec(parse_spec({**spec, "afterDownload": {"action": "Move", "folder": "x"}}), password=str)
    with pytest.raises(ValueError, match=r"spec\.server"):
        from_spec(parse_spec({"protocol": "POP3", "auth": auth}), password=str)
