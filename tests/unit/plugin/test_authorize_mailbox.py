"""The trial of the mailbox: as the fetcher logs in, and what a refusal says."""

from collections.abc import Iterator

import pytest

from kubectl_mailfetch.authorize.http import Http
from kubectl_mailfetch.authorize.mailbox import check_mailbox
from kubectl_mailfetch.authorize.plan import Plan
from kubectl_mailfetch.authorize.words import Granted
from kubectl_mailfetch.errors import PluginError
from tests.servers.certs import Certificates, make_certificates
from tests.servers.graph import GraphFake
from tests.servers.graph_access import Grant
from tests.servers.graph_faults import refuse
from tests.servers.imapfake import FakeImap
from tests.servers.pop3fake import FakePop3
from tests.servers.resolve import CERTIFICATE_NAMES, resolve
from tests.servers.saslfake import GOOGLE_CHALLENGE
from tests.unit.plugin.test_authorize_plan import GOOGLE, MICROSOFT, plan

TOKEN = "ya29." + "Ab3dEf9hIj" * 16
USER = "u@contoso.com"
Server = FakeImap | FakePop3


def granted(account: str = USER) -> Granted:
    return Granted(access=TOKEN, refresh="r", scopes=frozenset(), account=account)


def offer(server: Server, mechanisms: str) -> None:
    if isinstance(server, FakeImap):
        listed = " ".join(f"AUTH={mechanism}" for mechanism in mechanisms.split())
        server.quirks.before_login = f"IMAP4rev1 AUTH=PLAIN {listed} STARTTLS"
    else:
        server.quirks.before_login = ("UIDL", f"SASL PLAIN {mechanisms}", "STLS")


@pytest.fixture(params=[FakeImap, FakePop3], ids=["IMAP", "POP3"])
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Server]:
    with request.param(certificates=certificates) as fake:
        offer(fake, "XOAUTH2")
        yield fake


def planned(server: Server, **changes: object) -> Plan:
    protocol = "IMAP" if isinstance(server, FakeImap) else "POP3"
    return plan(protocol, server={"host": "127.0.0.1", "port": server.port, "encryption": "StartTLS"}, **changes)  # type: ignore[arg-type]


def refusal(made: Plan, ca_file: str, *, account: str = USER) -> str:
    with pytest.raises(PluginError) as caught:
        check_mailbox(granted(account), made, http=Http(ca_file), ca_file=ca_file)
    assert TOKEN not in caught.value.message
    assert "Nothing was written." in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("mechanisms", "used"),
    [("XOAUTH2", "XOAUTH2"), ("OAUTHBEARER XOAUTH2", "XOAUTH2"), ("OAUTHBEARER", "OAUTHBEARER")],
)
def test_the_mechanism_is_the_fetchers(server: Server, certificates: Certificates, mechanisms: str, used: str) -> None:
    offer(server, mechanisms)
    server.quirks.tokens.good = {TOKEN: USER}
    check_mailbox(granted(), planned(server), http=Http(), ca_file=str(certificates.ca))
    assert server.quirks.tokens.shown == [(USER, TOKEN)]
    assert [c.split()[1] for c in server.commands if c.startswith("AUTH")] == [used]


@pytest.mark.parametrize("challenge", [{}, GOOGLE_CHALLENGE], ids=["Microsoft", "Google"])
@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
def test_a_refusal_comes_without_the_token_that_the_server_repeats(
    server: Server, certificates: Certificates, mechanism: str, challenge: dict[str, str]
) -> None:
    offer(server, mechanism)
    server.quirks.tokens.challenge = challenge
    server.quirks.tokens.refusal = b"No access with " + b"x" * 250 + b" " + TOKEN.encode()
    message = refusal(planned(server), str(certificates.ca))
    assert "u@contoso.com may not open the mailbox u@contoso.com; the server said: " in message
    assert TOKEN[:20] not in message
    kind = "Imap" if isinstance(server, FakeImap) else "Pop"
    assert f"Set-CASMailbox -Identity u@contoso.com -{kind}Enabled $true" in message
    assert "Add-MailboxPermission" not in message


def test_a_shared_mailbox_wants_rights_for_the_account_of_the_connection(
    server: Server, certificates: Certificates
) -> None:
    shared = planned(server, sharedMailbox="s@contoso.com")
    message = refusal(shared, str(certificates.ca))
    assert "Add-MailboxPermission -Identity s@contoso.com -User u@contoso.com -AccessRights FullAccess" in message


@pytest.mark.parametrize("shared", ["", "s@contoso.com"])
def test_another_account_is_to_be_exchanged_not_given_rights(
    server: Server, certificates: Certificates, shared: str
) -> None:
    made = planned(server, sharedMailbox=shared)
    message = refusal(made, str(certificates.ca), account="other@contoso.com")
    assert "Run the command again and sign in as spec.auth.username, u@contoso.com." in message
    assert "PowerShell" not in message
    assert ("spec.sharedMailbox to u@contoso.com" in message) is not bool(shared)


def test_google_names_nobody_as_signed_in(server: Server, certificates: Certificates) -> None:
    message = refusal(planned(server, auth=GOOGLE), str(certificates.ca), account="")
    assert "whoever signed in may not open the mailbox g@example.com" in message
    kind = "IMAP" if isinstance(server, FakeImap) else "POP"
    assert f"Sign in as g@example.com, and see that {kind} is on" in message


@pytest.mark.parametrize(("auth", "told"), [(MICROSOFT, True), (GOOGLE, False)], ids=["Microsoft", "Google"])
def test_only_where_the_account_is_known_a_trial_may_be_left_out(
    server: Server, certificates: Certificates, auth: dict[str, object], told: bool
) -> None:
    made = planned(server, auth=auth)
    server.quirks.tokens.refusal = b"[IN-USE] Too many sessions"
    message = refusal(made, str(certificates.ca))
    assert "cannot be tried from this machine" in message
    assert ("--no-check" in message) is told


@pytest.fixture
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GraphFake, str]]:
    certificates = make_certificates(tmp_path_factory.mktemp("names"), hosts=CERTIFICATE_NAMES)
    tokens = {TOKEN: Grant(account=USER, scopes={"Mail.ReadWrite"})}
    with (
        GraphFake(certificates=certificates, check=tokens.get) as fake,
        resolve({("graph.microsoft.com", 443): fake.port}),
    ):
        fake.mailbox(USER)
        yield fake, str(certificates.ca)


def test_graph_opens_the_mailbox_of_the_connection_and_never_that_of_whoever_signed_in(
    graph: tuple[GraphFake, str],
) -> None:
    fake, ca_file = graph
    check_mailbox(granted(), plan("MicrosoftGraph"), http=Http(ca_file), ca_file=ca_file)
    fake.mailbox("other@contoso.com")
    other = plan("MicrosoftGraph", auth={**MICROSOFT, "username": "other@contoso.com"})
    message = refusal(other, ca_file)
    assert "sign in as spec.auth.username, other@contoso.com" in message
    assert "403 ErrorAccessDenied" in message
    assert "set spec.auth.username to that account and spec.sharedMailbox to other@contoso.com" in message
    assert [seen.path for seen in fake.requests] == [
        "/v1.0/users/u@contoso.com/mailFolders/inbox", "/v1.0/users/other@contoso.com/mailFolders/inbox",
    ]  # fmt: skip


def test_what_graph_says_comes_without_the_token(graph: tuple[GraphFake, str]) -> None:
    fake, ca_file = graph
    fake.fail("folder", refuse(403, "ErrorAccessDenied", "x" * 30 + f" no access for {TOKEN}"))
    message = refusal(plan("MicrosoftGraph"), ca_file)
    assert "no access for …" in message
    assert "See that u@contoso.com is the account's user name" in message
