from typing import Any

import pytest

from kubectl_mailfetch.authorize.place import Place
from kubectl_mailfetch.authorize.plan import Client, Plan, make_plan, read_client
from kubectl_mailfetch.authorize.words import Granted, check_scopes, refusal
from kubectl_mailfetch.errors import PluginError
from tests.unit.plugin.samples import connection

MICROSOFT: dict[str, Any] = {
    "type": "MicrosoftOAuth2",
    "username": "u@contoso.com",
    "oauth2": {"clientSecretRef": {"name": "client"}, "tokenSecretRef": {"name": "token"}},
}
GOOGLE = {**MICROSOFT, "type": "GoogleOAuth2", "username": "g@example.com"}


def plan(
    protocol: str = "IMAP",
    auth: dict[str, Any] = MICROSOFT,
    oauth2: dict[str, Any] | None = None,
    place: Place | None = None,
    **spec: Any,
) -> Plan:
    auth = {**auth, "oauth2": {**auth["oauth2"], **(oauth2 or {})}}
    found = connection(spec={"protocol": protocol, "auth": auth, "server": None, **spec})
    return make_plan(found, place or Place(namespace="helpdesk"))


@pytest.mark.parametrize(
    ("made", "server", "scope"),
    [
        (plan(), ("outlook.office365.com", 993, False), "https://outlook.office.com/IMAP.AccessAsUser.All"),
        (plan("POP3"), ("outlook.office365.com", 995, False), "https://outlook.office.com/POP.AccessAsUser.All"),
        (
            plan(oauth2={"cloud": "China"}),
            ("partner.outlook.cn", 993, False),
            "https://partner.outlook.cn/IMAP.AccessAsUser.All",
        ),
        (
            plan(server={"host": "mail.test", "encryption": "StartTLS"}),
            ("mail.test", 143, True),
            "https://outlook.office.com/IMAP.AccessAsUser.All",
        ),
        (plan("MicrosoftGraph"), ("", 0, False), "https://graph.microsoft.com/Mail.ReadWrite"),
        (
            plan("MicrosoftGraph", afterDownload={"action": "None"}),
            ("", 0, False),
            "https://graph.microsoft.com/Mail.Read",
        ),
        (
            plan("MicrosoftGraph", sharedMailbox="s@contoso.com", oauth2={"cloud": "USGovernment"}),
            ("", 0, False),
            "https://graph.microsoft.us/Mail.ReadWrite.Shared",
        ),
        (plan("IMAP", GOOGLE), ("imap.gmail.com", 993, False), "https://mail.google.com/"),
        (plan("POP3", GOOGLE), ("pop.gmail.com", 995, False), "https://mail.google.com/"),
    ],
)
def test_server_and_scope_follow_the_connection(made: Plan, server: tuple[str, int, bool], scope: str) -> None:
    assert (made.host, made.port, made.start_tls) == server
    assert made.scopes == (scope,)


def test_what_the_spec_leaves_out_has_the_defaults_of_the_crd() -> None:
    made = plan()
    assert (made.token_secret, made.token_key, made.mailbox) == ("token", "refresh-token", "u@contoso.com")
    assert plan(oauth2={"tokenSecretRef": {"name": "token", "key": "mine"}}).token_key == "mine"
    assert plan(sharedMailbox="s@contoso.com").mailbox == "s@contoso.com"


@pytest.mark.parametrize(
    ("auth", "oauth2", "spec", "text"),
    [
        ({**MICROSOFT, "type": "Password"}, {}, {}, "nothing to authorize"),
        ({**MICROSOFT, "type": ""}, {}, {}, "auth.type must be"),
        (MICROSOFT, {"flow": "Application"}, {}, "nobody has to authorize it"),
        (MICROSOFT, {"cloud": "Germany"}, {}, "cloud must be one of Global"),
        (MICROSOFT, {"tokenSecretRef": None}, {}, "spec.auth.oauth2.tokenSecretRef.name is missing"),
        ({**MICROSOFT, "username": ""}, {}, {}, "spec.auth.username is missing"),
        (MICROSOFT, {}, {"server": {"host": "x", "encryption": "None"}}, "server.encryption TLS or StartTLS"),
    ],
)
def test_what_cannot_be_authorized_is_told(
    auth: dict[str, Any], oauth2: dict[str, Any], spec: dict[str, Any], text: str
) -> None:
    with pytest.raises(PluginError, match=text):
        plan(auth=auth, oauth2=oauth2, **spec)


def test_the_client_is_read_without_the_line_ends_of_editors() -> None:
    found = read_client({"client-id": "id\n", "client-secret": " s ", "other": "x"}, plan())
    assert found == Client(id="id", secret="s", tenant="common")
    assert "secret" not in repr(found)
    assert read_client({"client-id": "id", "tenant-id": "t"}, plan()).tenant == "t"


def test_missing_clients_come_with_the_command() -> None:
    with pytest.raises(PluginError) as caught:
        read_client(None, plan("IMAP", GOOGLE))
    command = (
        "kubectl create secret generic client -n helpdesk --from-literal=client-id=… --from-literal=client-secret=…"
    )
    assert command in caught.value.message
    with pytest.raises(PluginError) as caught:
        read_client({"client-id": "id", "client-secret": " \n"}, plan("IMAP", GOOGLE))
    assert """-p '{"stringData":{"client-secret":"…"}}'""" in caught.value.message


def granted(*scopes: str, refresh: str = "r") -> Granted:
    return Granted(access="a", refresh=refresh, scopes=frozenset(scopes))


@pytest.mark.parametrize("scope", ["Mail.ReadWrite", "https://graph.microsoft.com/Mail.ReadWrite", "mail.readwrite"])
def test_granted_scopes_count_however_microsoft_writes_them(scope: str) -> None:
    check_scopes(granted(scope, "openid"), plan("MicrosoftGraph"))


@pytest.mark.parametrize("scope", ["Mail.Read", "https://graph.microsoft.com/User.Read", ""])
def test_other_scopes_do_not_count(scope: str) -> None:
    with pytest.raises(PluginError, match=r"Mail\.ReadWrite was not granted"):
        check_scopes(granted(scope), plan("MicrosoftGraph"))


def test_no_refresh_token_is_no_authorization() -> None:
    with pytest.raises(PluginError, match="gave no refresh token"):
        check_scopes(granted("https://mail.google.com/", refresh=""), plan("IMAP", GOOGLE))


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        (
            {
                "error": "invalid_client",
                "error_description": "AADSTS7000222: The provided client secret keys are expired. Trace ID: 12 More.",
            },
            ["invalid_client, AADSTS7000222: The provided client secret keys are expired.", "new one", "Secret client"],
        ),
        ({"error": "interaction_required", "error_description": "AADSTS53003: Blocked."}, ["Conditional Access"]),
        ({"error": "x", "error_description": "No: " + "eyJ0eXAiOiJKV1Q" * 9}, ["x, No: …\n"]),
        ({"error": "access_denied"}, ["access_denied\nWhat to do: the permissions were declined"]),
        ({"error": "strange\x1b[31m", "error_description": "x" * 5000}, ["strange [31m"]),
        ({}, ["unknown error"]),
    ],
)
def test_refusals_say_what_to_change(answer: dict[str, str], texts: list[str]) -> None:
    message = refusal(answer, plan()).message
    assert [t for t in texts if t not in message] == []
    assert "Trace ID" not in message
    assert "\x1b" not in message
    assert len(message) < 1000
    assert message.endswith("Nothing was written.")
