"""From nothing to an open folder: the steps of the test, folders by their names, whose mailbox, and what is refused."""

from typing import Any
from urllib.parse import quote

import pytest

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.probe import examine
from tests.integration.fetcher.helpers import Fetcher, assignment, bodies
from tests.integration.graph.tenant import OFTEN, USER, Tenant
from tests.servers import graph_faults, mailgen
from tests.servers.graph_faults import Fault
from tests.servers.redis import RedisServer, wait_until

STEPS = ["dns", "tcp", "tls", "capability", "login", "folder", "permission"]


def probe(fetcher: Fetcher, a: Assignment) -> ProbeResult:
    return examine(
        a, cluster_id="cluster-1", secrets=fetcher.directory / "secrets", redis=fetcher.env.redis, clock=Clock()
    )


def estimate(fetcher: Fetcher, a: Assignment) -> Any:
    result = probe(fetcher, a)
    assert result.problem is None, result
    assert [step.name for step in result.steps] == STEPS
    return result.estimate


def test_estimates(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(230))
    tenant.fill(*mailgen.mails(7, start=300), read=True)
    found = estimate(fetcher, assignment(tenant.spec()))
    assert (found.new_messages, found.total_messages, found.unseen_messages) == (237, 237, 230)
    assert (found.mailbox, found.method, found.accuracy, found.confidence) == ("New", "Count", "Exact", "High")
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(237)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="nobody reads it")
    tenant.fill(*mailgen.mails(3, start=400))
    values = tenant.graph.count("value")
    found = estimate(fetcher, assignment(tenant.spec()))
    assert (found.new_messages, found.total_messages, found.unseen_messages) == (3, 240, 233)
    assert (found.mailbox, found.method, found.accuracy) == ("Known", "Ledger", "Exact")
    assert tenant.graph.count("value") == values


def test_counts_that_are_not_told(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.graph.counts = False
    tenant.fill(*mailgen.mails(3))
    found = estimate(fetcher, assignment(tenant.spec()))
    assert (found.new_messages, found.unseen_messages) == (3, 0)


def test_only_what_comes_from_now_on(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    old = tenant.fill(*mailgen.mails(230))
    a = assignment(tenant.spec(schedule=OFTEN, backlog={"startFrom": "Now"}))
    assert estimate(fetcher, a).new_messages == 0
    fetcher.assign(a)
    fetcher.wait_for(lambda r: r.phase == "Polling")
    tenant.fill(mailgen.make_mail(500))
    tenant.mailbox.mark(old[0], read=True)
    fetcher.caught_up(1)
    tenant.mailbox.expire_sync()
    tenant.fill(mailgen.make_mail(501))
    fetcher.caught_up(2)
    assert tenant.graph.count("value") == 2


def test_mails_since_a_date(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(5), received="2026-01-31T23:59:59Z")
    wanted = tenant.fill(*mailgen.mails(3, start=10), received="2026-02-01T00:00:00Z")
    wanted += tenant.fill(mailgen.make_mail(20), received=None)
    backlog = {"startFrom": "Since", "since": "2026-02-01"}
    a = assignment(tenant.spec(schedule=OFTEN, backlog=backlog))
    found = estimate(fetcher, a)
    assert (found.new_messages, found.accuracy, found.method) == (4, "Exact", "Baseline")
    fetcher.assign(a)
    fetcher.caught_up(4)
    late = tenant.fill(mailgen.make_mail(30), received="2026-01-15T00:00:00Z")  # moved in later
    fetcher.caught_up(5)
    taken = {seen.path.split("/")[-2] for seen in tenant.graph.requests if seen.endpoint == "value"}
    assert taken == {quote(one) for one in (*wanted, *late)}


@pytest.mark.parametrize("folder", ["INBOX", "inbox", "Inbox", "Posteingang", "posteingang"])
def test_the_inbox_has_many_names(fetcher: Fetcher, tenant: Tenant, folder: str) -> None:
    tenant.fill(*mailgen.mails(2))
    assert estimate(fetcher, assignment(tenant.spec(folder=folder))).new_messages == 2


@pytest.mark.parametrize(
    "folder", ["Support/Open", "Support/A/B", "It's/100 % new?", "Posteingang/Deep", "INBOX/Deep", "support/open"]
)
def test_folders_by_path(fetcher: Fetcher, tenant: Tenant, folder: str) -> None:
    mailbox = tenant.mailbox
    for n in range(12):
        mailbox.add_folder(f"Other {n}")
    support, its = mailbox.add_folder("Support"), mailbox.add_folder("It's")
    inside = {
        "support/open": mailbox.add_folder("Open", parent=support.id),
        "support/a/b": mailbox.add_folder("A/B", parent=support.id),
        "it's/100 % new?": mailbox.add_folder("100 % new?", parent=its.id),
    }
    deep = mailbox.add_folder("Deep", parent="inbox")
    tenant.fill(*mailgen.mails(2), folder=inside.get(folder.lower(), deep).id)
    assert estimate(fetcher, assignment(tenant.spec(folder=folder))).new_messages == 2


@pytest.mark.parametrize("folder", ["Nowhere", "Posteingang/Nowhere", "INBOX/Nowhere", "Archiv/archive"])
def test_a_folder_that_is_not_there(fetcher: Fetcher, tenant: Tenant, folder: str) -> None:
    result = probe(fetcher, assignment(tenant.spec(folder=folder)))
    assert result.problem
    assert (result.problem.reason, result.steps[-1].name) == ("FolderNotFound", "folder")
    assert f"has no folder '{folder}'; correct spec.folder" in result.problem.message


def test_a_folder_that_is_deleted_while_it_is_read(fetcher: Fetcher, tenant: Tenant) -> None:
    folder = tenant.mailbox.add_folder("Support")
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, folder="Support")))
    fetcher.wait_for(lambda r: r.phase == "Polling")
    with tenant.graph.lock:
        del tenant.mailbox.folders[folder.id]
    assert "has no folder 'Support'" in fetcher.problem("FolderNotFound")


def test_a_shared_mailbox(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    shared = tenant.graph.mailbox("support@contoso.com")
    shared.share(USER)
    ids = tenant.fill(*mailgen.mails(3), mailbox=shared)
    tenant.fill(mailgen.make_mail(9))
    tenant.give_secrets(fetcher, "Mail.ReadWrite.Shared")
    spec = tenant.spec(sharedMailbox="support@contoso.com", afterDownload={"action": "MarkSeen"})
    fetcher.assign(assignment(spec))
    fetcher.caught_up(3)
    assert all(shared.is_read(one) for one in ids)
    assert len(bodies(server.client())) == 3


def test_a_mailbox_that_is_not_shared_with_us(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.graph.mailbox("boss@contoso.com")
    tenant.give_secrets(fetcher, "Mail.Read.Shared")
    result = probe(fetcher, assignment(tenant.spec(sharedMailbox="boss@contoso.com")))
    assert result.problem
    assert (result.problem.reason, result.steps[-1].name) == ("AuthorizationRequired", "login")
    assert "Add-MailboxPermission -Identity boss@contoso.com" in result.problem.message


def test_the_token_of_somebody_else(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """The mailbox is that of the spec, whoever authorized: nothing of either one is read."""
    tenant.fill(*mailgen.mails(3))
    tenant.fill(*mailgen.mails(3, start=10), mailbox=tenant.graph.mailbox("a@contoso.com"))
    fetcher.assign(assignment(tenant.spec(username="a@contoso.com")))
    message = fetcher.problem("AuthorizationRequired")
    assert "denies the account that authorized access to the mailbox 'a@contoso.com'" in message
    assert "this account is the one that authorizes" in message
    assert "authorize again: kubectl mailfetch authorize support -n helpdesk (HTTP 403" in message
    assert bodies(server.client()) == []
    assert {seen.path for seen in tenant.graph.requests} == {"/v1.0/users/a@contoso.com/mailFolders/inbox"}


def test_an_application(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    ids = tenant.fill(*mailgen.mails(3))
    fetcher.assign(assignment(tenant.spec(flow="Application", afterDownload={"action": "Delete"})))
    fetcher.caught_up(3)
    assert {tenant.mailbox.where(one) for one in ids} == {"deleteditems"}
    assert all(seen.mailbox for seen in tenant.graph.requests)


def test_an_access_policy_that_leaves_the_mailbox_out(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.graph.policy = {"other@contoso.com"}
    result = probe(fetcher, assignment(tenant.spec(flow="Application")))
    assert result.problem
    assert result.problem.reason == "AuthFailed"
    assert "no application access policy leaves the mailbox out" in result.problem.message
    assert "kubectl mailfetch authorize" not in result.problem.message


@pytest.mark.parametrize(
    ("fault", "reason", "text"),
    [
        (graph_faults.no_mailbox(), "InvalidConfiguration", "has no mailbox 'u@contoso.com'"),
        (graph_faults.access_denied(), "AuthorizationRequired", "Mail.ReadWrite"),
        (graph_faults.not_found(), "AuthorizationRequired", "nobody ever opened the mailbox"),
        (graph_faults.token_refused(), "AuthFailed", "spec.auth.oauth2.cloud"),
        (graph_faults.html(502), "ConnectionFailed", "HTTP 502"),
        (graph_faults.html(200), "ConnectionFailed", "not JSON"),
        (graph_faults.body(b"[]"), "ConnectionFailed", "JSON of another kind"),
        (graph_faults.body(b"{}"), "ConnectionFailed", "tells no id"),
        (graph_faults.body(b'{"a": "' + b"a" * (20 << 20)), "ConnectionFailed", "more than"),
        (graph_faults.body(b"", status=302), "ConnectionFailed", "HTTP 302"),
    ],
    ids=["no mailbox", "denied", "no inbox", "token", "html", "page", "list", "empty", "huge", "redirect"],
)
def test_what_is_refused(fetcher: Fetcher, tenant: Tenant, fault: Fault, reason: str, text: str) -> None:
    tenant.graph.fail("folder", fault, times=None)
    result = probe(fetcher, assignment(tenant.spec()))
    assert result.problem
    assert (result.problem.reason, [step.name for step in result.steps if not step.ok]) == (reason, ["login"])
    assert text in result.problem.message
    assert not any(secret in result.problem.message for secret in tenant.authority.issued)


@pytest.mark.parametrize("fault", [graph_faults.claims(), graph_faults.token_refused()], ids=["claims", "refused"])
def test_another_token_is_fetched_once(fetcher: Fetcher, tenant: Tenant, fault: Fault) -> None:
    tenant.fill(*mailgen.mails(4))
    tenant.graph.fail("value", fault, skip=2)
    fetcher.assign(assignment(tenant.spec()))
    report = fetcher.caught_up(4)
    assert report.last_problem is None
    assert tenant.authority.count(grant="refresh_token") == 2


@pytest.mark.parametrize(
    "link", ["https://graph.example.com/v1.0/x", "http://graph.microsoft.com/v1.0/x", "/v1.0/x", ""]
)
def test_a_link_never_takes_the_token_elsewhere(fetcher: Fetcher, tenant: Tenant, link: str) -> None:
    page = b'{"value": [], "@odata.nextLink": "%b"}' % link.encode()
    answer = graph_faults.body(page).answer
    assert answer
    headers = {"Preference-Applied": 'IdType="ImmutableId"'}
    fault = Fault(answer=type(answer)(body=page, headers=headers))
    tenant.graph.fail("delta", fault, times=None)
    fetcher.assign(assignment(tenant.spec()))
    assert "leads elsewhere" in fetcher.problem("ConnectionFailed")


def test_a_flood_under_new_names(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    """As after a migration: people are asked before everything comes once more."""
    ids = tenant.fill(*mailgen.mails(40))
    spec = tenant.spec(schedule=OFTEN, approval={"maxMessages": 20})
    fetcher.assign(assignment(spec))
    state_id = fetcher.caught_up(40).state_id
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="nobody reads it")
    for one in ids:
        tenant.mailbox.delete(one)
    tenant.fill(*mailgen.mails(40))
    fetcher.assign(assignment(spec, state_id=state_id))
    assert fetcher.wait_for(lambda r: r.gate).gate == "MailboxReset"
    assert len(bodies(server.client())) == 40
    fetcher.assign(assignment(spec, state_id=state_id, gate_epoch=2))
    fetcher.caught_up(80)


def test_a_backlog_that_is_larger_than_what_is_read_ahead(fetcher: Fetcher, tenant: Tenant) -> None:
    tenant.fill(mailgen.make_mail(0))
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(1)
    fetcher.assign()
    wait_until(lambda: fetcher.report() is None, what="nobody reads it")
    tenant.fill(*(b"Subject: %d\r\n\r\n" % n for n in range(2100)))
    found = estimate(fetcher, assignment(tenant.spec()))
    assert (found.new_messages, found.total_messages, found.accuracy) == (2100, 2101, "Exact")
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(2101)


def test_the_same_mailbox_under_another_name(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(5))
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(5)
    tenant.fill(*mailgen.mails(3, start=10))
    fetcher.caught_up(8)
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN, flow="Application", username="U@Contoso.com"), generation=2))
    fetcher.noticed("MailboxMoved")
    tenant.fill(mailgen.make_mail(20))
    fetcher.caught_up(9)
    assert len(bodies(server.client())) == 9


def test_mails_are_downloaded_once_more_on_request(fetcher: Fetcher, server: RedisServer, tenant: Tenant) -> None:
    tenant.fill(*mailgen.mails(4), received="2026-01-15T00:00:00Z")
    tenant.fill(*mailgen.mails(3, start=10), received="2026-02-15T00:00:00Z")
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN)))
    fetcher.caught_up(7)
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN), requests={"refetch": "since:2026-02-01"}))
    fetcher.answered("refetch", "since:2026-02-01")
    fetcher.caught_up(10)
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN), requests={"refetch": "uid:5"}))
    assert "Microsoft Graph cannot select 'uid:5'" in fetcher.noticed("RefetchRefused")
    fetcher.assign(assignment(tenant.spec(schedule=OFTEN), requests={"refetch": "quarantined"}))
    fetcher.answered("refetch", "quarantined")
    tenant.fill(mailgen.make_mail(30))
    fetcher.caught_up(11)
