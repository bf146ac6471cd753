"""A real Dovecot accepts the double's tokens, each only for its user and its protocol."""

import base64
import imaplib
import poplib
import ssl
from collections.abc import Iterator

import pytest

from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2

MAIL = "https://outlook.office.com"
HOST = "outlook.office365.com"
XOAUTH2 = "user={user}\1auth=Bearer {token}\1\1"
OAUTHBEARER = "n,a={user},\1auth=Bearer {token}\1\1"


@pytest.fixture(scope="module")
def authority(certificates: Certificates) -> Iterator[Authority]:
    with Authority(certificates) as server:
        server.account("u@contoso.com")
        server.register_client("app", secret="s")
        yield server


@pytest.fixture(scope="module")
def exact(authority: Authority, certificates: Certificates) -> Iterator[Dovecot]:
    with Dovecot(certificates, oauth2=OAuth2(introspection=authority.introspection(HOST))) as server:
        server.fill("u@contoso.com", [b"Subject: one\r\n\r\n"])
        yield server


@pytest.fixture(scope="module")
def shared(authority: Authority, certificates: Certificates) -> Iterator[Dovecot]:
    oauth2 = OAuth2(introspection=authority.introspection(HOST), users="domain")
    with Dovecot(certificates, oauth2=oauth2) as server:
        yield server


def token(authority: Authority, *scopes: str, account: str = "u@contoso.com", resource: str = MAIL) -> str:
    return authority.issue(
        client=authority.clients["app"],
        account=account,
        tenant=TENANT,
        resource=resource,
        scopes=frozenset(scopes),
    )


def imap(server: Dovecot, user: str, secret: str, *, mechanism: str = "XOAUTH2") -> int:
    """Logs in; returns the number of mails. Raises imaplib's error, with the challenge, if the token is refused."""
    challenges: list[bytes] = []
    form = XOAUTH2 if mechanism == "XOAUTH2" else OAUTHBEARER

    def answer(challenge: bytes) -> bytes:
        challenges.append(challenge)
        return b"" if len(challenges) > 1 else form.format(user=user, token=secret).encode()

    context = ssl.create_default_context(cafile=str(server.certificates.ca))
    with imaplib.IMAP4_SSL(server.host, server.imaps_port, ssl_context=context, timeout=60) as client:
        try:
            client.authenticate(mechanism, answer)
        except imaplib.IMAP4.error as e:
            raise PermissionError(challenges[-1]) from e
        return int(client.select("INBOX", readonly=True)[1][0] or 0)


def pop3(server: Dovecot, user: str, secret: str) -> int:
    context = ssl.create_default_context(cafile=str(server.certificates.ca))
    client = poplib.POP3_SSL(server.host, server.pop3s_port, context=context, timeout=60)
    assert client._shortcmd("AUTH XOAUTH2") == b"+ "  # type: ignore[attr-defined]
    encoded = base64.b64encode(XOAUTH2.format(user=user, token=secret).encode()).decode()
    answer: bytes = client._shortcmd(encoded)  # type: ignore[attr-defined]
    if not answer.startswith(b"+OK"):
        client.close()
        raise PermissionError(base64.b64decode(answer[2:]))
    return client.stat()[0]


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_imap_opens_with_its_token(authority: Authority, exact: Dovecot, mechanism: str) -> None:
    assert imap(exact, "u@contoso.com", token(authority, "IMAP.AccessAsUser.All"), mechanism=mechanism) == 1


def test_pop3_opens_with_its_token(authority: Authority, exact: Dovecot) -> None:
    assert pop3(exact, "u@contoso.com", token(authority, "POP.AccessAsUser.All")) == 1


def test_token_of_the_other_protocol(authority: Authority, exact: Dovecot) -> None:
    with pytest.raises(PermissionError, match='"status":"401"'):
        imap(exact, "u@contoso.com", token(authority, "POP.AccessAsUser.All"))
    with pytest.raises(PermissionError, match='"status":"401"'):
        pop3(exact, "u@contoso.com", token(authority, "IMAP.AccessAsUser.All"))


def test_token_of_another_resource(authority: Authority, exact: Dovecot) -> None:
    wrong = token(authority, "IMAP.AccessAsUser.All", resource="https://partner.outlook.cn")
    with pytest.raises(PermissionError):
        imap(exact, "u@contoso.com", wrong)


def test_token_that_was_revoked(authority: Authority, exact: Dovecot) -> None:
    good = token(authority, "IMAP.AccessAsUser.All")
    authority.revoke_tokens()
    with pytest.raises(PermissionError):
        imap(exact, "u@contoso.com", good)


def test_a_colleagues_mailbox_stays_closed(authority: Authority, exact: Dovecot) -> None:
    with pytest.raises(PermissionError):
        imap(exact, "shared@contoso.com", token(authority, "IMAP.AccessAsUser.All"))


def test_shared_mailbox_opens_for_its_domain_alone(authority: Authority, shared: Dovecot) -> None:
    assert imap(shared, "shared@contoso.com", token(authority, "IMAP.AccessAsUser.All")) == 0
    with pytest.raises(PermissionError):
        imap(shared, "shared@other.test", token(authority, "IMAP.AccessAsUser.All"))


def test_application_opens_with_its_role(authority: Authority, shared: Dovecot) -> None:
    assert imap(shared, "any@contoso.com", token(authority, "IMAP.AccessAsApp", account="")) == 0
    with pytest.raises(PermissionError):
        imap(shared, "any@contoso.com", token(authority, account=""))


def test_passwords_still_open(exact: Dovecot) -> None:
    with exact.client("user1@mail.test", folder="INBOX"):
        pass
