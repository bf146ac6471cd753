"""The double of Microsoft Graph does what is documented of Graph. Driven with plain requests."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import requests

from tests.servers import graph_faults
from tests.servers.certs import Certificates
from tests.servers.graph import GraphFake
from tests.servers.graph_access import Grant
from tests.servers.graph_mailbox import Mailbox
from tests.servers.resolve import GRAPHS, resolve

ROOT = "https://graph.microsoft.com/v1.0"
DELTA = "/me/mailFolders/inbox/messages/delta?$select=receivedDateTime,isRead"
RAW = b"Subject: one\r\nFrom: A <a@contoso.com>\r\n\r\nHello\r\n"
IMMUTABLE = 'IdType="ImmutableId"'
CN = "https://microsoftgraph.chinacloudapi.cn"


class Client(requests.Session):
    """Sends what a good client sends, unless it is told otherwise."""

    def __init__(self, certificates: Certificates, token: str = "user") -> None:
        super().__init__()
        self.trust_env = False
        self.verify = str(certificates.ca)
        self.headers.update({"Authorization": f"Bearer {token}", "Prefer": IMMUTABLE})

    def request(self, method: str, url: str, **more: Any) -> requests.Response:  # type: ignore[override]
        whole = url if url.startswith("https:") else ROOT + url
        return super().request(method, whole, **{"timeout": 30, **more, "allow_redirects": False})

    def page(self, link: str, *, size: int = 10, ids: str = IMMUTABLE) -> dict[str, Any]:
        wishes = ", ".join(filter(None, [ids, f"odata.maxpagesize={size}"]))
        answer = self.get(link, headers={"Prefer": wishes})
        answer.raise_for_status()
        assert answer.headers["Preference-Applied"] == wishes
        page: dict[str, Any] = answer.json()
        return page

    def round(self, link: str, **more: Any) -> tuple[list[dict[str, Any]], str]:
        """All that a delta round tells, and its deltaLink."""
        told = []
        while True:
            page = self.page(link, **more)
            told += page["value"]
            if "@odata.deltaLink" in page:
                return told, page["@odata.deltaLink"]
            link = page["@odata.nextLink"]


@pytest.fixture
def fake(certificates: Certificates) -> Iterator[GraphFake]:
    tokens = {
        "user": Grant(account="u@contoso.com", scopes={"Mail.ReadWrite", "User.Read"}),
        "reader": Grant(account="u@contoso.com", scopes={"Mail.Read"}),
        "sharer": Grant(account="u@contoso.com", scopes={"Mail.ReadWrite.Shared"}),
        "app": Grant(account="", scopes={"Mail.ReadWrite"}),
        "imap": Grant(account="u@contoso.com", scopes={"IMAP.AccessAsUser.All"}, audience="https://outlook.office.com"),
        "challenged": Grant(account="u@contoso.com", scopes={"Mail.Read"}, challenge='{"x": {"y": 1, "z": 2}}'),
        "china": Grant(account="u@contoso.com", scopes={"Mail.ReadWrite"}, audience=CN),
    }
    running = GraphFake(certificates=certificates, check=tokens.get)
    with running, resolve({(host, 443): running.port for host in GRAPHS}):
        yield running


@pytest.fixture
def mailbox(fake: GraphFake) -> Mailbox:
    return fake.mailbox("u@contoso.com")


@pytest.fixture
def client(certificates: Certificates) -> Iterator[Client]:
    with Client(certificates) as made:
        yield made


@pytest.fixture
def with_token(certificates: Certificates) -> Callable[[str], Client]:
    return lambda token: Client(certificates, token)


def _error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# ---- who may do what


def test_a_bad_token_is_refused(fake: GraphFake, with_token: Callable[[str], Client]) -> None:
    answer = with_token("no").get("/me/mailFolders/inbox")
    assert _error(answer) == (401, "InvalidAuthenticationToken")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    wrong = with_token("imap").get("/me/mailFolders/inbox")
    assert "Invalid audience" in wrong.json()["error"]["message"]


def test_the_demanded_claims_must_have_been_asked_for(fake: GraphFake, with_token: Callable[[str], Client]) -> None:
    fake.mailbox("u@contoso.com")
    fake.demanded = {"x": {"y": 1}}
    answer = with_token("user").get("/me/mailFolders/inbox")
    assert answer.status_code == 401
    encoded = answer.headers["WWW-Authenticate"].partition('claims="')[2].rstrip('"')
    assert json.loads(base64.b64decode(encoded)) == {"x": {"y": 1}}
    assert with_token("challenged").get("/me/mailFolders/inbox").status_code == 200


def test_who_only_reads_changes_nothing(mailbox: Mailbox, with_token: Callable[[str], Client]) -> None:
    mail = f"/me/messages/{mailbox.deliver(RAW)}"
    reader = with_token("reader")
    assert reader.get(mail).status_code == 200
    assert _error(reader.patch(mail, json={"isRead": True})) == (403, "ErrorAccessDenied")
    assert _error(reader.post(f"{mail}/move", json={"destinationId": "archive"})) == (403, "ErrorAccessDenied")
    assert _error(reader.delete(mail)) == (403, "ErrorAccessDenied")


def test_a_shared_mailbox_needs_the_scope_and_the_right(
    fake: GraphFake, mailbox: Mailbox, with_token: Callable[[str], Client]
) -> None:
    shared = fake.mailbox("shared@contoso.com")
    path = f"/users/shared@contoso.com/messages/{shared.deliver(RAW)}"
    assert _error(with_token("sharer").get(path)) == (403, "ErrorAccessDenied")
    shared.share("U@contoso.com", write=False)
    assert with_token("sharer").get(path).status_code == 200
    assert _error(with_token("sharer").patch(path, json={"isRead": True})) == (403, "ErrorAccessDenied")
    shared.share("u@contoso.com")
    assert with_token("sharer").patch(path, json={"isRead": True}).status_code == 200
    assert _error(with_token("user").get(path)) == (403, "ErrorAccessDenied")
    assert with_token("sharer").get("/users/u@contoso.com/mailFolders/inbox").status_code == 200


def test_an_application_opens_all_mailboxes_that_the_policy_allows(
    fake: GraphFake, mailbox: Mailbox, with_token: Callable[[str], Client]
) -> None:
    app = with_token("app")
    assert app.get("/users/u%40contoso.com/mailFolders/inbox").status_code == 200
    assert _error(app.get("/users/nobody@contoso.com/mailFolders/inbox")) == (404, "ErrorInvalidUser")
    fake.policy = {"other@contoso.com"}
    assert _error(app.get("/users/u@contoso.com/mailFolders/inbox")) == (403, "ErrorAccessDenied")
    assert _error(app.get("/me/mailFolders/inbox")) == (400, "BadRequest")
    assert "/me request" in fake.faults.pop()


def test_who_am_i(fake: GraphFake, mailbox: Mailbox, client: Client, with_token: Callable[[str], Client]) -> None:
    assert client.get("/me?$select=mail,userPrincipalName").json()["mail"] == "u@contoso.com"
    assert with_token("reader").get("/me").status_code == 403


# ---- folders


def test_folders_are_found_by_well_known_name_and_by_display_name(mailbox: Mailbox, client: Client) -> None:
    for number in range(12):
        mailbox.add_folder(f"Folder {number}")
    odd = mailbox.add_folder("Jo's", parent="Folder 3")
    mailbox.deliver(RAW, read=True)
    mailbox.deliver(RAW)
    inbox = client.get("/me/mailFolders/InBox").json()
    assert (inbox["displayName"], inbox["totalItemCount"], inbox["unreadItemCount"]) == ("Posteingang", 2, 1)
    first = client.get("/me/mailFolders").json()
    assert len(first["value"]) == 10
    second = client.get(first["@odata.nextLink"]).json()
    names = [folder["displayName"] for folder in first["value"] + second["value"]]
    assert names.count("Folder 11") == 1
    assert "Deletions" not in names
    hidden = client.get("/me/mailFolders?includeHiddenFolders=true&$top=100").json()["value"]
    assert "Deletions" in [folder["displayName"] for folder in hidden]
    above = client.get("/me/mailFolders", params={"$filter": "displayName eq 'folder 3'"}).json()["value"]
    children = f"/me/mailFolders/{above[0]['id']}/childFolders"
    below = client.get(children, params={"$filter": "displayName eq 'Jo''s'"}).json()["value"]
    assert [folder["id"] for folder in below] == [odd.id]


def test_a_folder_that_is_not_there(mailbox: Mailbox, client: Client) -> None:
    folder = mailbox.add_folder("Old")
    id_ = mailbox.deliver(RAW, "Old")
    mailbox.remove_folder("Old")
    assert _error(client.get(f"/me/mailFolders/{folder.id}")) == (404, "ErrorItemNotFound")
    assert _error(client.get("/me/mailFolders/Posteingang")) == (400, "ErrorInvalidIdMalformed")
    assert _error(client.get(f"/me/messages/{id_}")) == (404, "ErrorItemNotFound")
    assert mailbox.add_folder("Old").id != folder.id


# ---- mails


def test_a_mail(mailbox: Mailbox, client: Client) -> None:
    id_ = mailbox.deliver(RAW, received="2026-03-01T10:00:00Z")
    whole = client.get(f"/me/messages/{id_}").json()
    assert (whole["id"], whole["subject"], whole["receivedDateTime"]) == (id_, "one", "2026-03-01T10:00:00Z")
    assert whole["from"]["emailAddress"] == {"name": "A", "address": "a@contoso.com"}
    assert whole["parentFolderId"] == mailbox.folder("inbox").id
    assert "internetMessageHeaders" not in whole
    some = client.get(f"/me/messages/{id_}?$select=isRead,internetMessageHeaders").json()
    assert set(some) == {"@odata.context", "@odata.etag", "id", "isRead", "internetMessageHeaders"}
    mime = client.get(f"/me/messages/{id_}/$value")
    assert (mime.content, mime.headers["Content-Type"]) == (RAW, "text/plain")


def test_ids(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    ids = [mailbox.deliver(RAW) for _ in range(3)]
    assert len(set(ids)) == 3 > len({id_.lower() for id_ in ids})
    answer = client.get(f"/me/messages/{ids[0]}", headers={"Prefer": ""})
    ordinary = answer.json()["id"]
    assert ordinary != ids[0]
    assert "Preference-Applied" not in answer.headers
    assert "without Prefer" in fake.faults.pop()
    assert client.get(f"/me/messages/{ordinary}").json()["id"] == ids[0]
    mailbox.move(ids[0], "archive")
    assert _error(client.get(f"/me/messages/{ordinary}")) == (404, "ErrorItemNotFound")
    assert client.get(f"/me/messages/{ids[0]}").status_code == 200
    assert client.get(f"/me/messages/{ids[0].lower()}").status_code == 404
    assert "lost its case" in fake.faults.pop()
    fake.immutable = False
    ignored = client.get(f"/me/messages/{ids[1]}")
    assert ignored.json()["id"] != ids[1]
    assert "Preference-Applied" not in ignored.headers


def test_changes(mailbox: Mailbox, client: Client) -> None:
    first, second, third = (mailbox.deliver(RAW) for _ in range(3))
    assert client.patch(f"/me/messages/{first}", json={"isRead": True}).json()["isRead"] is True
    assert mailbox.is_read(first)
    moved = client.post(f"/me/messages/{first}/move", json={"destinationId": "deleteditems"})
    assert (moved.status_code, moved.json()["id"], mailbox.where(first)) == (201, first, "deleteditems")
    assert client.delete(f"/me/messages/{second}").status_code == 204
    assert mailbox.ids("inbox") == [third]
    assert client.post(f"/me/messages/{third}/permanentDelete").status_code == 204
    assert mailbox.where(third) == ""
    assert _error(client.patch(f"/me/messages/{third}", json={"isRead": True})) == (404, "ErrorItemNotFound")


def test_a_national_cloud(fake: GraphFake, mailbox: Mailbox, with_token: Callable[[str], Client]) -> None:
    mail = f"{CN}/v1.0/me/messages/{mailbox.deliver(RAW)}"
    assert with_token("user").get(mail).status_code == 401
    china = with_token("china")
    assert china.page(CN + "/v1.0" + DELTA)["@odata.deltaLink"].startswith(CN)
    assert _error(china.post(f"{mail}/permanentDelete")) == (400, "BadRequest")
    assert "permanentDelete" in fake.faults.pop()


def test_listing(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    ids = [mailbox.deliver(RAW, read=number % 2 == 0) for number in range(25)]
    folder = "/me/mailFolders/inbox/messages"
    unread = client.get(f"{folder}?$filter=isRead eq false&$count=true&$top=1&$select=id").json()
    assert (unread["@odata.count"], len(unread["value"])) == (12, 1)
    listed, link = [], f"{folder}?$select=id,receivedDateTime&$top=10"
    while link:
        page = client.get(link).json()
        listed += [mail["id"] for mail in page["value"]]
        link = page.get("@odata.nextLink", "")
    assert sorted(listed) == sorted(ids)
    since = "receivedDateTime ge 2026-01-01T00:00:05Z and isRead eq false"
    oldest_first = {"$filter": since, "$orderby": "receivedDateTime asc", "$top": "50"}
    some = client.get(folder, params=oldest_first).json()["value"]
    assert [mail["id"] for mail in some] == [id_ for id_ in ids[9:] if not mailbox.is_read(id_)]
    fake.counts = False
    assert client.get(f"{folder}?$count=true").json()["@odata.count"] == -1
    refused = client.get(folder, params={"$filter": "isRead eq false", "$orderby": "receivedDateTime asc"})
    assert _error(refused) == (400, "InefficientFilter")
    fake.faults.clear()


# ---- delta


def test_delta_tells_what_happened(mailbox: Mailbox, client: Client) -> None:
    ids = [mailbox.deliver(RAW) for _ in range(25)]
    first = client.page(DELTA)
    assert len(first["value"]) == 10
    told, link = client.round(first["@odata.nextLink"])
    assert sorted(mail["id"] for mail in first["value"] + told) == sorted(ids)
    assert set(told[0]) == {"@odata.etag", "id", "isRead", "receivedDateTime"}
    assert client.round(first["@odata.nextLink"])[0] == told  # a link may be followed again
    mailbox.mark(ids[0], read=True)
    mailbox.delete(ids[1])
    mailbox.move(ids[2], "archive")
    new = mailbox.deliver(RAW)
    told, later = client.round(link)
    assert {mail["id"] for mail in told if "@removed" in mail} == {ids[1], ids[2]}
    changed = {mail["id"]: mail for mail in told if "@removed" not in mail}
    assert changed.keys() == {ids[0], new}
    assert (changed[ids[0]]["isRead"], "receivedDateTime" in changed[ids[0]]) == (True, False)
    assert client.round(later)[0] == []


def test_a_mail_that_came_back_is_never_told(mailbox: Mailbox, client: Client) -> None:
    id_ = mailbox.deliver(RAW)
    _, link = client.round(DELTA)
    mailbox.move(id_, "archive")
    mailbox.move(id_, "inbox")
    mailbox.mark(id_, read=True)
    told, _ = client.round(link)
    assert [(mail["id"], "@removed" in mail) for mail in told] == [(id_, True)]
    assert [mail["id"] for mail in client.round(DELTA)[0]] == [id_]


def test_with_ordinary_ids_it_is_told_under_another_name(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    id_ = mailbox.deliver(RAW)
    told, link = client.round(DELTA, ids="")
    mailbox.move(id_, "archive")
    mailbox.move(id_, "inbox")
    later, _ = client.round(link, ids="")
    assert [("@removed" in mail) for mail in later] == [True, False]
    assert later[0]["id"] == told[0]["id"] != later[1]["id"]
    fake.faults.clear()


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("gone", 410, "SyncStateNotFound"),
        ("location", 410, "resyncRequired"),
        ("invalid", 400, "syncStateInvalid"),
        ("missing", 404, "SyncStateNotFound"),
    ],
)
def test_links_die(mailbox: Mailbox, client: Client, how: Any, status: int, code: str) -> None:
    for _ in range(15):
        mailbox.deliver(RAW)
    next_link = client.page(DELTA)["@odata.nextLink"]
    _, delta_link = client.round(DELTA)
    mailbox.expire_sync(links="skip", how=how)
    refused = client.get(next_link)
    assert _error(refused) == (status, code)
    assert client.get(delta_link).status_code == 200
    mailbox.expire_sync(how=how)
    assert client.get(delta_link).status_code == status
    if how == "location":
        assert len(client.round(refused.headers["Location"])[0]) == 15


def test_a_migrated_mailbox_has_other_ids(mailbox: Mailbox, client: Client) -> None:
    old = mailbox.deliver(RAW, read=True)
    _, link = client.round(DELTA)
    mailbox.migrate()
    assert client.get(link).status_code == 410
    assert client.get(f"/me/messages/{old}").status_code == 404
    assert [(mailbox.raw(id_), mailbox.is_read(id_)) for id_ in mailbox.ids()] == [(RAW, True)]


@pytest.mark.parametrize("seed", range(20))
def test_untidy_rounds_tell_everything(fake: GraphFake, mailbox: Mailbox, client: Client, seed: int) -> None:
    """Whatever the double sprinkles in: after a round the client knows of each new mail and of each that left."""
    random = Random(seed)
    fake.chaotic = Random(seed)
    link, known, gone = DELTA, set[str](), set[str]()
    left: set[str] = set()
    for _ in range(6):
        for _ in range(random.randrange(12)):
            here = mailbox.ids()
            match random.randrange(4) if here else 0:
                case 0 | 1:
                    mailbox.deliver(RAW)
                case 2:
                    left.add(chosen := random.choice(here))
                    mailbox.move(chosen, "archive")
                case 3:
                    mailbox.mark(random.choice(here), read=True)
        told, link = client.round(link, size=3)
        known |= {mail["id"] for mail in told if "receivedDateTime" in mail}
        gone |= {mail["id"] for mail in told if "@removed" in mail}
        assert known >= set(mailbox.ids())
        assert gone >= left & known
        assert not gone & set(mailbox.ids())


def test_untidy_rounds_are_untidy(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    for _ in range(12):
        mailbox.deliver(RAW)
    fake.chaotic = Random(3)
    sizes, orders, most = set(), set(), 0
    for _ in range(10):
        pages, link = [], DELTA
        while link:
            page = client.page(link, size=5)
            pages.append(page)
            link = page.get("@odata.nextLink", "")
        told = [mail["id"] for page in pages for mail in page["value"]]
        sizes |= {len(page["value"]) for page in pages}
        orders.add(tuple(told))
        most = max(most, len(told))
    assert 0 in sizes
    assert len(orders) > 5
    assert most > 12


# ---- what goes wrong


def test_five_requests_at_once_are_one_too_many(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    path = f"/me/messages/{mailbox.deliver(RAW)}/$value"
    held = graph_faults.hold()
    mailbox.fail("value", held, times=4)
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(client.get, path) for _ in range(4)]
        fake.await_request("value", times=4)
        refused = client.get(path)
        held.release.set()
        assert [answer.result().content for answer in answers] == [RAW] * 4
    assert _error(refused) == (429, "ApplicationThrottled")
    assert refused.headers["Retry-After"]
    assert mailbox.highest == 5
    assert client.get(path).status_code == 200


def test_faults_are_counted(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    first, second = mailbox.deliver(RAW), mailbox.deliver(RAW)
    mailbox.fail("value", graph_faults.throttled("7"), times=2, skip=1)
    mailbox.fail("message", graph_faults.conversion_failed(), times=None, id=second)
    fake.mailbox("other@contoso.com").fail("*", graph_faults.access_denied(), times=None)
    codes = [client.get(f"/me/messages/{first}/$value").status_code for _ in range(4)]
    assert codes == [200, 429, 429, 200]
    assert [client.get(f"/me/messages/{id_}").status_code for id_ in (first, second, second)] == [200, 500, 500]
    assert fake.count("value") == 4
    assert [seen.status for seen in fake.requests][:4] == codes
    with pytest.raises(ValueError, match="no such endpoint"):
        mailbox.fail("values", graph_faults.html())


@pytest.mark.parametrize("fault", [graph_faults.html(), graph_faults.body(b'["x"]'), graph_faults.unavailable(509)])
def test_other_answers(mailbox: Mailbox, client: Client, fault: graph_faults.Fault) -> None:
    mailbox.fail("folder", fault)
    answer = client.get("/me/mailFolders/inbox")
    assert fault.answer is not None
    assert (answer.status_code, answer.content) == (fault.answer.status, fault.answer.body)


def test_a_lost_reply_leaves_the_change(mailbox: Mailbox, client: Client) -> None:
    id_ = mailbox.deliver(RAW)
    mailbox.fail("move", graph_faults.drop())
    mailbox.fail("move", graph_faults.reply_lost())
    for place in ("inbox", "archive"):
        with pytest.raises(requests.ConnectionError):
            client.post(f"/me/messages/{id_}/move", json={"destinationId": "archive"})
        assert mailbox.where(id_) == place
    again = client.post(f"/me/messages/{id_}/move", json={"destinationId": "archive"})
    assert (again.status_code, again.json()["id"]) == (201, id_)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_is_cut(mailbox: Mailbox, client: Client, chunked: bool) -> None:
    path = f"/me/messages/{mailbox.deliver(RAW)}/$value"
    mailbox.fail("value", graph_faults.cut_body(20, chunked=chunked), times=2)
    answer = client.get(path, stream=True)
    assert answer.raw.read1(1000) == RAW[:20]
    assert ("Content-Length" in answer.headers) is not chunked
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get(path)


def test_a_body_stalls(mailbox: Mailbox, client: Client) -> None:
    path = f"/me/messages/{mailbox.deliver(RAW)}/$value"
    mailbox.fail("value", stalled := graph_faults.stall(20), times=2)
    with pytest.raises(requests.ConnectionError, match="timed out"):
        client.get(path, timeout=(30, 0.2))
    answer = client.get(path, stream=True)
    assert answer.raw.read(20) == RAW[:20]
    stalled.release.set()
    assert answer.raw.read() == RAW[20:]


def test_a_body_never_ends(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    mailbox.fail("folder", graph_faults.flood())
    answer = client.get("/me/mailFolders/inbox", stream=True)
    assert answer.raw.read(500_000, decode_content=True).startswith(b'{"value":[{},')
    answer.close()


def test_a_mailbox_without_a_licence(mailbox: Mailbox, client: Client) -> None:
    mailbox.enabled = False
    assert _error(client.get("/me/mailFolders/inbox")) == (404, "MailboxNotEnabledForRESTAPI")


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "/me/mailFolders/inbox/messages?$top=1001", {}),
        ("GET", "/me/mailFolders/inbox/messages?$search=x", {}),
        ("GET", "/me/mailFolders/inbox/messages?$select", {}),
        ("GET", "/me/mailFolders/inbox/messages?$select=wellKnownName", {}),
        ("GET", "/me/mailFolders/inbox/messages/delta?$filter=isRead eq false", {}),
        ("GET", "/me/mailFolders/inbox/messages/delta?$skiptoken=made-up", {}),
        ("GET", "/me/mailFolders/inbox?$select=wellKnownName", {}),
        ("GET", "/me/mailFolders/inbox/messages/ID/$value", {}),
        ("GET", "/me/mailFolders/inbox", {"data": b"x"}),
        ("GET", "/me/messages/AAkALgAAAAAAHYQD", {}),
        ("GET", "/me/calendar", {}),
        ("GET", "https://graph.microsoft.com/beta/me/mailFolders/inbox", {}),
        ("GET", "/me/mailFolders/inbox", {"headers": {"Authorization": "Bearer"}}),
        ("GET", "/me/mailFolders/inbox", {"headers": {"Host": "graph.example.com"}}),
        ("GET", "/me/mailFolders/inbox", {"headers": {"Prefer": 'IdType="ImmutableId", x=y'}}),
        ("PATCH", "/me/messages/ID", {"json": {"isRead": True, "subject": "x"}}),
        ("PATCH", "/me/messages/ID", {"data": b'{"isRead": true}'}),
        ("POST", "/me/messages/ID/move", {"json": {"destinationId": "inbox"}}),
        ("POST", "/me/messages/ID/move", {"json": {"folder": "archive"}}),
        ("POST", "/me/messages/ID/move", {"data": iter([b"{}"])}),
        ("POST", "/me/messages/ID/permanentDelete", {"json": {}}),
        ("PUT", "/me/messages/ID", {"json": {"isRead": True}}),
    ],
)
def test_what_no_client_does_is_kept(
    fake: GraphFake, mailbox: Mailbox, client: Client, method: str, path: str, more: dict[str, Any]
) -> None:
    id_ = mailbox.deliver(RAW)
    answer = client.request(method, path.replace("ID", id_), **more)
    assert 400 <= answer.status_code <= 501
    assert len(fake.faults) == 1
    assert mailbox.ids() == [id_]
    fake.faults.clear()


def test_a_link_of_another_folder_opens_nothing(fake: GraphFake, mailbox: Mailbox, client: Client) -> None:
    _, link = client.round(DELTA)
    other = link.replace(mailbox.folder("inbox").id, mailbox.folder("archive").id)
    assert client.get(other).status_code == 400
    assert client.get(f"{link}&$select=id").status_code == 400
    assert len(fake.faults) == 2
    fake.faults.clear()


def test_what_was_kept_fails_the_test(certificates: Certificates) -> None:
    fake = GraphFake(certificates=certificates, check=lambda _: None)
    with (
        pytest.raises(AssertionError, match="Access token is empty"),
        fake,
        resolve({("graph.microsoft.com", 443): fake.port}),
    ):
        Client(certificates, "").get("/me/mailFolders/inbox")
