"""What a bearer asks of the authority: the cloud's host, the scopes of the protocol, claims of the resource."""

import base64
import json
from typing import Any

import pytest

from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.connect import make_bearer
from mailfetch_fetcher.errors import SourceError
from tests.integration.fetcher.helpers import Mounts, assignment
from tests.integration.oauth.helpers import IMAP_SCOPE, Mailbox, Nowhere, Providers, bearer_of
from tests.servers.authority import Authority
from tests.servers.authority_keys import make_key_pair
from tests.servers.authority_model import Request

GRAPH_SCOPE = "https://graph.microsoft.com/Mail.ReadWrite"
CHALLENGE = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'


def last(authority: Authority) -> Request:
    return authority.requests[-1]


def test_graph_meets_a_claims_challenge(providers: Providers, mounts: Mounts) -> None:
    mailbox = providers.microsoft(scopes=(GRAPH_SCOPE,))
    bearer = bearer_of(mailbox, mounts, protocol="MicrosoftGraph")
    first = bearer.token()
    assert json.loads(last(providers.authority).claims) == {"access_token": {"xms_cc": {"values": ["CP1"]}}}
    second = bearer.token(refused=first, claims=CHALLENGE)
    assert first != second
    claims = json.loads(last(providers.authority).claims)["access_token"]
    assert claims["nbf"]["value"] == "1700000000"
    assert claims["xms_cc"] == {"values": ["CP1"]}
    assert bearer.token() == second
    assert bearer.token(claims=CHALLENGE) != second


def test_an_application_meets_a_claims_challenge(providers: Providers, mounts: Mounts) -> None:
    roles = {"https://graph.microsoft.com": {"Mail.ReadWrite"}}
    providers.authority.register_client(providers.app, secret="s", application=roles)
    client = {"client-id": providers.app, "client-secret": "s", "tenant-id": "contoso.com"}
    mailbox = Mailbox(address="u@contoso.com", dovecot=providers.exchange, provider="Microsoft", client=client)
    bearer = bearer_of(mailbox, mounts, protocol="MicrosoftGraph")
    first = bearer.token()
    second = bearer.token(refused=first, claims=CHALLENGE)
    assert first != second
    assert "nbf" in json.loads(last(providers.authority).claims)["access_token"]


@pytest.mark.parametrize(
    "claims", ["nonsense", "[]", "7", 9999 * "[", '{"access_token":7}', base64.b64encode(b"x").decode()]
)
def test_a_challenge_that_cannot_be_read_is_left_out(providers: Providers, mounts: Mounts, claims: str) -> None:
    bearer = bearer_of(providers.microsoft(scopes=(GRAPH_SCOPE,)), mounts, protocol="MicrosoftGraph")
    assert bearer.token(claims=claims)


@pytest.mark.parametrize("claims", ["nonsense", "[]", 9999 * "[", '{"access_token":7}'])
def test_so_does_an_application(providers: Providers, mounts: Mounts, claims: str) -> None:
    mailbox = providers.application(client={"client-secret": "s"}, secret="s")
    assert bearer_of(mailbox, mounts).token(claims=claims)


@pytest.mark.parametrize(
    ("changes", "scope"),
    [
        ({"protocol": "IMAP"}, "https://outlook.office.com/IMAP.AccessAsUser.All"),
        ({"protocol": "POP3"}, "https://outlook.office.com/POP.AccessAsUser.All"),
        ({"protocol": "MicrosoftGraph"}, GRAPH_SCOPE),
        ({"protocol": "MicrosoftGraph", "afterDownload": {"action": "None"}}, "https://graph.microsoft.com/Mail.Read"),
        (
            {"protocol": "MicrosoftGraph", "sharedMailbox": "b@contoso.com"},
            "https://graph.microsoft.com/Mail.ReadWrite.Shared",
        ),
    ],
)
def test_the_least_scope_that_is_enough(
    providers: Providers, mounts: Mounts, changes: dict[str, Any], scope: str
) -> None:
    bearer = bearer_of(providers.microsoft(scopes=(scope,)), mounts, **changes)
    bearer.token()
    asked = set(last(providers.authority).scopes)
    assert asked - {"openid", "profile", "offline_access"} == {scope}


@pytest.mark.parametrize(
    ("cloud", "host", "scope"),
    [
        ("USGovernment", "login.microsoftonline.us", "https://outlook.office365.us/IMAP.AccessAsUser.All"),
        ("USGovernmentDoD", "login.microsoftonline.us", "https://outlook-dod.office365.us/IMAP.AccessAsUser.All"),
        ("China", "login.partner.microsoftonline.cn", "https://partner.outlook.cn/IMAP.AccessAsUser.All"),
    ],
)
def test_each_cloud_has_its_authority(providers: Providers, mounts: Mounts, cloud: str, host: str, scope: str) -> None:
    authority, domain = providers.authority, f"{cloud.lower()}.example.com"
    authority.register_tenant(domain, domain=domain, host=host)
    address = f"u@{domain}"
    authority.account(address, tenant=domain)
    authority.register_client(providers.app, secret="s")
    token = authority.authorize(providers.app, address, scope, host=host)
    client = {"client-id": providers.app, "client-secret": "s"}
    mailbox = Mailbox(
        address=address, dovecot=providers.exchange, provider="Microsoft", client=client, refresh_token=token
    )
    spec = mailbox.spec()
    spec["auth"]["oauth2"]["cloud"] = cloud
    bearer_of(mailbox, mounts, auth=spec["auth"]).token()
    assert last(authority).host == host


def test_the_other_key_belongs_to_another_certificate(providers: Providers, mounts: Mounts) -> None:
    pair, other = make_key_pair(), make_key_pair()
    client = {"certificate.pem": pair.certificate_pem, "private-key.pem": other.private_pem}
    mailbox = providers.application(client=client, certificate=pair.certificate)
    with pytest.raises(SourceError) as e:
        bearer_of(mailbox, mounts).token()
    assert e.value.reason == "InvalidConfiguration"
    assert "belong together" in e.value.message


def test_a_certificate_that_the_app_does_not_know(providers: Providers, mounts: Mounts) -> None:
    pair, other = make_key_pair(), make_key_pair()
    client = {"certificate.pem": pair.certificate_pem, "private-key.pem": pair.private_pem}
    mailbox = providers.application(client=client, certificate=other.certificate)
    with pytest.raises(SourceError) as e:
        bearer_of(mailbox, mounts).token()
    assert e.value.reason == "AuthFailed"
    assert "'certificate.pem' of the Secret 'client'" in e.value.message


@pytest.mark.parametrize("broken", ["certificate.pem", "private-key.pem"])
def test_a_certificate_that_cannot_be_read(providers: Providers, mounts: Mounts, broken: str) -> None:
    pair = make_key_pair()
    client = {"certificate.pem": pair.certificate_pem, "private-key.pem": pair.private_pem}
    kind = "CERTIFICATE" if broken == "certificate.pem" else "PRIVATE KEY"
    client[broken] = f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----"
    mailbox = providers.application(client=client, certificate=pair.certificate)
    with pytest.raises(SourceError) as e:
        bearer_of(mailbox, mounts).token()
    assert e.value.reason == "InvalidConfiguration"
    assert "PEM" in e.value.message
    assert "AAAA" not in e.value.message


def test_a_certificate_without_a_key(providers: Providers, mounts: Mounts) -> None:
    pair = make_key_pair()
    mailbox = providers.application(client={"certificate.pem": pair.certificate_pem}, certificate=pair.certificate)
    with pytest.raises(SourceError, match=r"'private-key\.pem'") as e:
        bearer_of(mailbox, mounts).token()
    assert e.value.reason == "SecretNotFound"


@pytest.mark.parametrize("tenant", ["a b", "../x", "contoso.com/oauth2/v2.0/token?x="])
def test_a_tenant_that_is_no_name(providers: Providers, mounts: Mounts, tenant: str) -> None:
    mailbox = providers.microsoft()
    mailbox.client = {**mailbox.client, "tenant-id": tenant}
    with pytest.raises(SourceError) as e:
        bearer_of(mailbox, mounts).token()
    assert e.value.reason == "InvalidConfiguration"
    assert "tenant-id" in e.value.message
    assert not [r for r in providers.authority.requests if r.client == providers.app]


# ---- a token in memory is of the Secrets that it was made from ----


def test_a_changed_client_secret_counts_at_the_next_login(providers: Providers, mounts: Mounts) -> None:
    mailbox = providers.microsoft()
    bearer = bearer_of(mailbox, mounts)
    first = bearer.token()
    assert bearer.token() == first
    providers.authority.clients[providers.app].secrets = {"the-next-secret"}
    mounts.write("secrets/client/client-secret", "the-next-secret")
    assert bearer.token() != first
    mounts.write("secrets/client/client-secret", "a wrong one")
    with pytest.raises(SourceError) as e:
        bearer.token()
    assert e.value.reason == "AuthFailed"


def test_a_new_authorization_counts_at_the_next_login(providers: Providers, mounts: Mounts) -> None:
    mailbox = providers.microsoft()
    bearer = bearer_of(mailbox, mounts)
    first = bearer.token()
    again = providers.authority.authorize(providers.app, mailbox.address, IMAP_SCOPE)
    mounts.write("secrets/token/refresh-token", again + "\n")
    second = bearer.token()
    assert second != first
    assert bearer.token() == second
    (mounts.directory / "secrets/token/refresh-token").unlink()
    with pytest.raises(SourceError) as e:
        bearer.token()
    assert e.value.reason == "AuthorizationRequired"


@pytest.mark.parametrize(("kind", "shared"), [("microsoft", False), ("google", False), ("with_secret", True)])
def test_only_an_application_s_token_serves_two_connections(
    providers: Providers, mounts: Mounts, kind: str, *, shared: bool
) -> None:
    if kind == "with_secret":
        mailbox = providers.application(client={"client-secret": "s"}, secret="s")
    else:
        mailbox = getattr(providers, kind)()
    mailbox.give_secrets(mounts)
    tokens, secrets = Tokens(Clock()), mounts.directory / "secrets"
    found = []
    for name in ("one", "two"):
        made = make_bearer(assignment(mailbox.spec(), name=name), secrets=secrets, tokens=tokens, rotated=Nowhere())
        assert made
        found.append(made.token())
    assert (found[0] == found[1]) is shared


def test_two_users_of_a_service_account_have_tokens_of_their_own(providers: Providers, mounts: Mounts) -> None:
    mailbox = providers.service_account()
    other = f"other-{mailbox.address}"
    providers.authority.google_account(other)
    mailbox.give_secrets(mounts)
    tokens, secrets = Tokens(Clock()), mounts.directory / "secrets"
    owners = []
    for address in (mailbox.address, other):
        spec = mailbox.spec()
        spec["auth"]["username"] = address
        made = make_bearer(assignment(spec), secrets=secrets, tokens=tokens, rotated=Nowhere())
        assert made
        claims = providers.authority.look_up(made.token())
        assert claims
        owners.append(claims.account)
    assert owners == [mailbox.address, other]
