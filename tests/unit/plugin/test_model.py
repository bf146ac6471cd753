import pytest

from kubectl_mailfetch.model import Connection, matches, moment, plain, said
from tests.unit.auth.test_texts import GOOGLE, MICROSOFT, OPAQUE, PERSONAL
from tests.unit.plugin.samples import connection


@pytest.mark.parametrize("term", ["", "SUPP", "customer SUPPORT", "imap.example", "support@EXAMPLE.com", "billing@"])
def test_the_search_finds_name_description_host_and_users_whatever_the_case(term: str) -> None:
    assert matches(connection(spec={"sharedMailbox": "billing@example.com"}), term)


@pytest.mark.parametrize(
    ("protocol", "auth_type", "cloud", "host", "port"),
    [
        ("IMAP", "MicrosoftOAuth2", None, "outlook.office365.com", 993),
        ("POP3", "MicrosoftOAuth2", "China", "partner.outlook.cn", 995),
        ("IMAP", "GoogleOAuth2", None, "imap.gmail.com", 993),
        ("MicrosoftGraph", "MicrosoftOAuth2", "USGovernment", "graph.microsoft.us", 443),
        ("MicrosoftGraph", "MicrosoftOAuth2", "Moon", "", 0),
        ("IMAP", "MicrosoftOAuth2", "Moon", "", 0),
        ("IMAP", "Password", None, "", 0),
    ],
)
def test_without_a_server_in_the_spec_it_is_the_providers(
    protocol: str, auth_type: str, cloud: str | None, host: str, port: int
) -> None:
    auth = {"type": auth_type, "username": "u@contoso.com", "oauth2": {"cloud": cloud}}
    found = connection(spec={"protocol": protocol, "server": None, "auth": auth})
    assert (found.host, found.port) == (host, port)
    assert matches(found, host)
    assert connection(spec={"auth": auth}).host == "imap.example.com"


@pytest.mark.parametrize("term", ["helpdesk", "IMAP4", "support-mailbox", "MarkSeen"])
def test_the_search_does_not_look_elsewhere(term: str) -> None:
    assert not matches(connection(), term)


def test_an_object_without_spec_and_status_can_be_read() -> None:
    bare = Connection({"metadata": {"name": "x"}, "status": None})
    assert (bare.name, bare.mailbox, bare.host, bare.port, bare.estimate) == ("x", "", "", 0, None)
    assert (bare.ready.reason, bare.epoch, bare.max_messages, bare.enabled) == ("", 1, 100, False)


def test_max_messages_zero_is_zero() -> None:
    assert connection(spec={"approval": {"maxMessages": 0}}).max_messages == 0


@pytest.mark.parametrize(
    ("protocol", "encryption", "port", "expected"),
    [
        ("IMAP", "TLS", 0, 993),
        ("IMAP", "StartTLS", 0, 143),
        ("IMAP", "None", 0, 143),
        ("POP3", "TLS", 0, 995),
        ("POP3", "StartTLS", 0, 110),
        ("IMAP", "TLS", 10993, 10993),
    ],
)
def test_port_zero_is_the_protocols_own(protocol: str, encryption: str, port: int, expected: int) -> None:
    server = {"host": "mail.example.com", "encryption": encryption, "port": port}
    assert connection(spec={"protocol": protocol, "server": server}).port == expected


def test_only_the_exact_word_enables() -> None:
    assert connection(annotations={"mailfetch.dev/enable": "true"}).enabled
    assert not connection(annotations={"mailfetch.dev/enable": "false"}).enabled
    assert not connection(annotations={"mailfetch.dev/enable": "True"}).enabled


def test_control_characters_never_reach_the_terminal() -> None:
    assert plain("a\x1b[31mb\nc\x07") == "a [31mb c "


def test_a_time_that_cannot_be_read_is_no_time() -> None:
    assert moment("soon") is None
    assert moment(None) is None
    assert moment("2026-01-31T08:15:00Z") is not None


@pytest.mark.parametrize(
    "token", [GOOGLE, MICROSOFT, PERSONAL, OPAQUE, GOOGLE.replace("_", "%2B"), OPAQUE.replace("/", "\\/")]
)
def test_what_a_server_says_shows_no_token(token: str) -> None:
    assert said(f"bad \x1btoken {token}, sorry") == "bad  token …, sorry"
