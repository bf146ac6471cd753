"""`kubectl mailfetch authorize` against a real API server, the authorities' double, real Dovecot and Graph's double."""

import base64
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.authorizing import Authorizing, client_secret, connection
from tests.servers.authority import Authority
from tests.servers.authority_keys import make_key_pair
from tests.servers.certs import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2
from tests.servers.graph import GraphFake
from tests.servers.resolve import CERTIFICATE_NAMES, resolve

pytestmark = pytest.mark.cluster
CRD = Path(__file__).parents[3] / "crds/mailconnections.mailfetch.dev.yaml"
GOOGLE_CLIENT = "app.apps.googleusercontent.com"


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl("apply", "--server-side", "-f", str(CRD))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/mailconnections.mailfetch.dev", "--timeout=120s")
    return control_plane


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=(*CERTIFICATE_NAMES, "DNS:shared.test"))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A namespace with the OAuth2 clients, and the providers."""

    cluster: ControlPlane
    namespace: str
    authority: Authority
    graph: GraphFake
    run: Callable[..., Authorizing]

    def save(self, document: dict[str, Any]) -> None:
        self.cluster.kubectl("create", "-n", self.namespace, "-f", "-", input=json.dumps(document))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.cluster.kubectl("get", kind, name, "-n", self.namespace, "-o", "json", "--ignore-not-found").stdout
        result: dict[str, Any] = json.loads(found) if found else {}
        return result

    def token(self, name: str, key: str = "refresh-token") -> str:
        """The content of a token Secret, which the authority must have issued."""
        token = base64.b64decode(self.get("secret", name)["data"][key]).decode()
        assert token in self.authority.refreshes
        return token


@pytest.fixture
def scene(cluster: ControlPlane, certificates: Certificates) -> Iterator[Scene]:
    namespace = f"authorize-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    with Authority(certificates) as authority:
        authority.sign_in_as = "u@contoso.com"
        for address in ("u@contoso.com", "other@contoso.com"):
            authority.account(address)
        authority.google_account("g@example.com")
        authority.register_client("app")
        authority.register_client(GOOGLE_CLIENT, secret="google's secret", redirect="http://localhost")
        tokens = OAuth2(introspection=authority.introspection())
        shared = OAuth2(introspection=authority.introspection(), users="domain")
        with (
            GraphFake(certificates=certificates, check=authority.look_up) as graph,
            Dovecot(certificates, oauth2=tokens) as dovecot,
            Dovecot(certificates, oauth2=shared) as lenient,
        ):
            addresses = {
                **authority.addresses,
                ("graph.microsoft.com", 443): graph.port,
                ("outlook.office365.com", 993): dovecot.imaps_port,
                ("outlook.office365.com", 995): dovecot.pop3s_port,
                ("outlook.office365.com", 143): dovecot.imap_port,
                ("outlook.office365.com", 110): dovecot.pop3_port,
                ("shared.test", 993): lenient.imaps_port,
                ("imap.gmail.com", 993): dovecot.imaps_port,
            }

            def run(*args: str, kubeconfig: Path = cluster.kubeconfig, **more: str) -> Authorizing:
                return Authorizing(
                    *args, "-n", namespace, kubeconfig=kubeconfig, ca=certificates.ca, addresses=addresses, **more
                )  # fmt: skip

            made = Scene(cluster=cluster, namespace=namespace, authority=authority, graph=graph, run=run)
            made.save(client_secret("m365-client", client_id="app"))
            made.save(client_secret("google-client", client_id=GOOGLE_CLIENT, client_secret="google's secret"))
            with resolve(addresses):
                yield made
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def test_the_browser_brings_a_token_whose_mailbox_was_opened(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office") as command:
        page = command.visit(command.address())
        assert command.end() == 0, command.output
    token = scene.token("office-token")
    secret, saved = scene.get("secret", "office-token"), scene.get("mconn", "office")
    assert secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kubectl-mailfetch"
    owner = {"apiVersion": "mailfetch.dev/v1alpha1", "kind": "MailConnection", "name": "office"}
    assert secret["metadata"]["ownerReferences"] == [{**owner, "uid": saved["metadata"]["uid"]}]
    assert set(saved["metadata"]["annotations"]) == {"mailfetch.dev/test"}
    assert "Signed in as u@contoso.com." in command.output
    assert "The mailbox u@contoso.com can be opened." in command.output
    assert "the key refresh-token of the Secret office-token" in command.output
    assert "<script" not in page.text
    assert "Signed in" in page.text
    assert token in scene.authority.issued
    assert [s for s in scene.authority.issued if s in command.output or s in page.text] == []


def test_a_device_code_is_entered_on_another_machine(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office", "--device") as command:
        line = command.line("Open https://microsoft.com/devicelogin")
        scene.authority.enter_code(line.partition("enter ")[2].split()[0], "u@contoso.com")
        assert command.end() == 0, command.output
    assert scene.token("office-token") not in command.output


def test_declined_device_codes_write_nothing(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office", "--device") as command:
        line = command.line("Open https://microsoft.com/devicelogin")
        scene.authority.enter_code(line.partition("enter ")[2].split()[0], decision="declined")
        assert command.end() == 1
    assert "were declined" in command.output
    assert scene.get("secret", "office-token") == {}


def test_google_gives_a_refresh_token_each_time(scene: Scene) -> None:
    scene.authority.sign_in_as = "g@example.com"
    auth = {"type": "GoogleOAuth2", "username": "g@example.com"}
    scene.save(connection("gmail", auth=auth, oauth2={"tokenSecretRef": {"name": "gmail-token", "key": "mine"}}))
    tokens = set()
    for _ in range(2):
        with scene.run("gmail") as command:
            page = command.visit(command.address())
            assert command.end() == 0, command.output
        tokens.add(scene.token("gmail-token", "mine"))
        assert [s for s in (*scene.authority.issued, "google's secret") if s in command.output + page.text] == []
    assert len(tokens) == 2


def test_a_permission_that_was_unticked_is_missed(scene: Scene) -> None:
    scene.authority.sign_in_as = "g@example.com"
    scene.authority.unticked = {"https://mail.google.com/"}
    scene.save(connection("gmail", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("gmail") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "https://mail.google.com/ was not granted" in command.output
    assert scene.get("secret", "gmail-token") == {}


def test_device_codes_of_google_are_refused_with_the_reason(scene: Scene) -> None:
    scene.save(connection("gmail", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("gmail", "--device") as command:
        assert command.end() == 2
    assert "Google does not allow the permission for mail with device codes" in command.output


@pytest.mark.parametrize("protocol", ["IMAP", "POP3", "MicrosoftGraph"])
def test_another_account_that_may_not_open_the_mailbox_writes_nothing(scene: Scene, protocol: str) -> None:
    scene.authority.sign_in_as = "other@contoso.com"
    scene.graph.mailbox("other@contoso.com")
    scene.save(connection("office", protocol=protocol))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "Signed in as other@contoso.com, which is not spec.auth.username (u@contoso.com)" in command.output
    assert "Nothing was written." in command.output
    assert scene.get("secret", "office-token") == {}


@pytest.mark.parametrize(
    ("protocol", "encryption"), [("POP3", "TLS"), ("POP3", "StartTLS"), ("IMAP", "StartTLS"), ("MicrosoftGraph", "")]
)
def test_the_mailbox_is_opened_by_each_protocol(scene: Scene, protocol: str, encryption: str) -> None:
    scene.graph.mailbox("u@contoso.com")
    server = {"server": {"host": "outlook.office365.com", "encryption": encryption}} if encryption else {}
    scene.save(connection("office", protocol=protocol, **server))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert "The mailbox u@contoso.com can be opened." in command.output
    scene.token("office-token")


def test_a_folder_that_is_not_there_is_told_before_anything_is_written(scene: Scene) -> None:
    scene.save(connection("office", folder="Nowhere"))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "its folder Nowhere cannot be" in command.output
    assert scene.get("secret", "office-token") == {}


def test_a_busy_mailbox_is_not_taken_for_a_closed_one(scene: Scene) -> None:
    scene.graph.mailbox("u@contoso.com")
    scene.graph.fail("folder", throttled())
    scene.save(connection("office", protocol="MicrosoftGraph"))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "cannot be tried from this machine: graph.microsoft.com: 429 ApplicationThrottled" in command.output


def test_the_browser_of_the_machine_is_opened(scene: Scene, tmp_path: Path) -> None:
    scene.save(connection("office"))
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    with scene.run("office", browser=str(browser)) as command:
        address = command.address()
        assert (tmp_path / "opened").read_text().strip() == address
        command.visit(address)
        assert command.end() == 0, command.output
    assert "The browser shows this address:" in command.output


def test_an_interrupt_leaves_nothing_behind(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office") as command:
        command.line("Waiting")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == 130
    assert scene.get("secret", "office-token") == {}


def test_it_works_with_the_rights_of_the_person(scene: Scene, cluster: ControlPlane) -> None:
    """Without the right to annotate the Secret is written all the same; without that on Secrets nobody signs in."""
    clerk = f"clerk-{scene.namespace}"
    cluster.pki.issue(clerk, f"/CN={clerk}")
    scene.save(connection("office"))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "clerk"},
        "rules": [{"apiGroups": ["mailfetch.dev"], "resources": ["mailconnections"], "verbs": ["get"]}],
    }
    scene.save(role)
    cluster.kubectl("create", "rolebinding", "clerk", "-n", scene.namespace, "--role=clerk", f"--user={clerk}")
    kubeconfig = cluster.pki.kubeconfig(clerk, cluster.url)
    with scene.run("office", kubeconfig=kubeconfig) as command:
        assert command.end() == 4
    assert "you may not read the Secret m365-client" in command.output
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]}
    patch = json.dumps([{"op": "add", "path": "/rules/-", "value": secrets}])
    cluster.kubectl("patch", "role", "clerk", "-n", scene.namespace, "--type=json", "-p", patch)
    allowed = ("auth", "can-i", "create", "secrets", "-n", scene.namespace, f"--as={clerk}")
    while cluster.kubectl(*allowed, check=False).stdout.strip() != "yes":
        time.sleep(0.1)  # the API server hears of new rules by itself; the test's time-out is the bound
    with scene.run("office", kubeconfig=kubeconfig) as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert "no test could be asked for: you may not annotate MailConnection office" in command.output
    scene.token("office-token")


def test_without_a_trial_only_the_named_account_is_taken(scene: Scene) -> None:
    scene.save(connection("office", server={"host": "nobody.office365.com"}))
    for account, code in (("other@contoso.com", 1), ("u@contoso.com", 0)):
        scene.authority.sign_in_as = account
        with scene.run("office", "--no-check") as command:
            command.visit(command.address())
            assert command.end() == code, command.output
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert f"kubectl mailfetch authorize office -n {scene.namespace} --no-check" in command.output


def test_a_shared_mailbox_is_opened_with_the_token_of_the_account(scene: Scene) -> None:
    shared = scene.graph.mailbox("shared@contoso.com")
    shared.share("u@contoso.com")
    scene.save(connection("billing", sharedMailbox="shared@contoso.com", server={"host": "shared.test"}))
    scene.save(connection("bills", sharedMailbox="shared@contoso.com", protocol="MicrosoftGraph"))
    for name in ("billing", "bills"):
        with scene.run(name) as command:
            command.visit(command.address())
            assert command.end() == 0, command.output
        assert "Signed in as u@contoso.com." in command.output
        assert "The mailbox shared@contoso.com can be opened." in command.output
        scene.token(f"{name}-token")


def test_declined_consent_is_told_on_the_page_and_in_the_terminal(scene: Scene) -> None:
    scene.authority.decision = "deny"
    scene.save(connection("office"))
    with scene.run("office") as command:
        assert "Not authorized" in command.visit(command.address()).text
        assert command.end() == 1
    assert "access_denied" in command.output
    assert "run the command again and accept them" in command.output
    assert scene.get("secret", "office-token") == {}


def test_answers_that_do_not_belong_to_the_sign_in_change_nothing(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office") as command:
        address = command.address()
        back = parse_qs(urlsplit(address).query)["redirect_uri"][0]
        forged = command.visit(f"{back}/?code=stolen&state=guessed")
        assert forged.status_code == 400
        assert command.line("An answer arrived that does not belong to this sign-in")
        assert command.visit(f"{back}/favicon.ico").status_code == 404
        assert command.visit(f"{back}/?code={'x' * 20_000}&state=guessed").status_code == 414
        assert command.visit(address).status_code == 200
        assert command.end() == 0, command.output
    scene.token("office-token")


def test_nobody_signs_in(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office", "--timeout", "1") as command:
        assert command.end() == 6
    assert "nobody signed in within 1 seconds; nothing was written" in command.output


def test_what_the_provider_refuses_comes_with_what_to_change(scene: Scene) -> None:
    scene.authority.register_client("app", secret="right")
    scene.save(connection("office"))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "AADSTS7000218" in command.output
    assert "Allow public client flows" in command.output


@pytest.mark.parametrize(
    "fault", ["503", "html", "html_503", "redirect", "empty", "list", "no_token", "huge", "cut_body", "cut"]
)
@pytest.mark.parametrize("provider", ["Microsoft", "Google"])
def test_broken_answers_end_with_a_message(scene: Scene, fault: str, provider: str) -> None:
    account = {"Microsoft": "u@contoso.com", "Google": "g@example.com"}[provider]
    scene.authority.sign_in_as = account
    scene.save(connection("office", auth={"type": f"{provider}OAuth2", "username": account}))
    scene.authority.fail_next(fault, times=None)
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "Nothing was written." in command.output
    assert [s for s in scene.authority.issued if s in command.output] == []
    assert scene.get("secret", "office-token") == {}


@pytest.mark.parametrize("fault", ["503", "html", "redirect", "empty", "list", "cut"])
@pytest.mark.parametrize("endpoint", ["discovery", "device"])
def test_an_authority_that_is_not_itself_ends_with_a_message(scene: Scene, fault: str, endpoint: str) -> None:
    scene.save(connection("office"))
    scene.authority.fail_next(fault, times=None, endpoint=endpoint)
    with scene.run("office", "--device") as command:
        assert command.end() == 1
    assert "Nothing was written." in command.output


@pytest.mark.parametrize("one_text", [True, False])
def test_an_app_may_prove_itself_with_a_certificate(scene: Scene, one_text: bool) -> None:
    pair = make_key_pair()
    scene.authority.register_client("certified", certificate=pair.certificate)
    files = {"certificate.pem": pair.certificate_pem, "private-key.pem": pair.private_pem}
    if one_text:
        files = {"certificate.pem": pair.private_pem + pair.certificate_pem}
    secret = client_secret("certified-client", client_id="certified")
    secret["stringData"] |= files
    scene.save(secret)
    scene.save(connection("office", oauth2={"clientSecretRef": {"name": "certified-client"}}))
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert "PRIVATE KEY" not in command.output
    scene.token("office-token")


def test_a_certificate_that_cannot_be_read_is_told(scene: Scene) -> None:
    secret = client_secret("broken-client", client_id="app")
    secret["stringData"]["certificate.pem"] = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----"
    scene.save(secret)
    scene.save(connection("office", oauth2={"clientSecretRef": {"name": "broken-client"}}))
    with scene.run("office") as command:
        assert command.end() == 1
    assert "private-key.pem that is not PEM" in command.output


def test_a_secret_that_somebody_else_made_is_only_changed_when_asked_for(scene: Scene) -> None:
    scene.save(connection("office"))
    scene.save(client_secret("office-token", refresh_token="by hand", other="stays"))
    with scene.run("office") as command:
        assert command.end() == 2
    assert "https://" not in command.output
    assert f"kubectl mailfetch authorize office -n {scene.namespace} --overwrite" in command.output
    with scene.run("office", "--overwrite") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    scene.token("office-token")
    secret = scene.get("secret", "office-token")
    assert base64.b64decode(secret["data"]["other"]) == b"stays"
    assert secret["metadata"].get("labels", {}) == {}
    assert "ownerReferences" not in secret["metadata"]


def test_whether_the_secret_may_be_written_is_known_before_anybody_signs_in(scene: Scene) -> None:
    scene.save(connection("office"))
    labels = {"app.kubernetes.io/managed-by": "kubectl-mailfetch"}
    kept = client_secret("office-token", refresh_token="kept")
    scene.save({**kept, "immutable": True, "metadata": {"name": "office-token", "labels": labels}})
    with scene.run("office") as command:
        assert command.end() == 1
    assert "https://" not in command.output
    assert "immutable" in command.output


def test_two_connections_may_share_a_token(scene: Scene) -> None:
    """The Secret goes with the last of them."""
    for name in ("inbox", "archive"):
        scene.save(connection(name, oauth2={"tokenSecretRef": {"name": "our-token"}}))
        with scene.run(name) as command:
            command.visit(command.address())
            assert command.end() == 0, command.output
    owners = scene.get("secret", "our-token")["metadata"]["ownerReferences"]
    assert [o["name"] for o in owners] == ["inbox", "archive"]


def test_a_connection_that_runs_is_asked_for_a_round_as_well(scene: Scene) -> None:
    """Its pod's Secrets are renewed when its assignments change."""
    document = connection("office")
    document["metadata"]["annotations"] = {"mailfetch.dev/enable": "true"}
    scene.save(document)
    with scene.run("office") as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    found = scene.get("mconn", "office")["metadata"]["annotations"]
    assert found["mailfetch.dev/fetch"] == found["mailfetch.dev/test"] != ""


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_connection_that_is_not_saved_yet(scene: Scene, tmp_path: Path, way: str) -> None:
    scene.authority.register_client("unsaved", secret="of the file")
    secret = client_secret("another-client", client_id="unsaved", client_secret="of the file")
    document = connection("office", oauth2={"clientSecretRef": {"name": "another-client"}})
    text = yaml.safe_dump_all([secret, document])
    (tmp_path / "office.yaml").write_text(text)
    args, stdin = (["-f", str(tmp_path / "office.yaml")], "") if way == "file" else (["-f", "-"], text)
    with scene.run(*args, stdin=stdin) as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    assert scene.get("mconn", "office") == {}
    assert "ownerReferences" not in scene.get("secret", "office-token")["metadata"]
    scene.token("office-token")
    assert f"kubectl apply -n {scene.namespace} -f" in command.output


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (connection("office", oauth2={"flow": "Application", "tokenSecretRef": None}), "nobody has to authorize it"),
        (
            {**connection("office"), "spec": {"protocol": "IMAP", "auth": {"type": "Password"}}},
            "logs in with a password",
        ),
        (connection("office", oauth2={"clientSecretRef": {"name": "absent"}}), "kubectl create secret generic absent"),
        (connection("office", oauth2={"clientSecretRef": {"name": "empty"}}), "has no key client-id"),
        (connection("office", oauth2={"tokenSecretRef": None}), "tokenSecretRef.name is missing"),
    ],
)
def test_what_cannot_be_authorized_says_why(scene: Scene, tmp_path: Path, document: dict[str, Any], text: str) -> None:
    scene.save(client_secret("empty", tenant_id="x"))
    file = tmp_path / "office.yaml"
    file.write_text(yaml.safe_dump(document))
    with scene.run("office", "-f", str(file)) as command:
        assert command.end() != 0
    assert text in command.output
    assert "https://" not in command.output
