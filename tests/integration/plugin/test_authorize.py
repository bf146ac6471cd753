"""`kubectl mailfetch authorize`: signing in, and the mailbox that is opened."""

from pathlib import Path

import pytest

from tests.integration.plugin.authorizing import Scene, client_secret, connection
from tests.servers.authority_keys import make_key_pair
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2
from tests.servers.graph_faults import throttled

pytestmark = pytest.mark.cluster


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
        command.line("The browser opens it.")
        assert (tmp_path / "opened").read_text().strip() == address
        command.visit(address)
        assert command.end() == 0, command.output


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


def test_google_does_not_tell_who_signed_in_so_the_mailbox_is_always_tried(scene: Scene) -> None:
    scene.authority.google_account("stranger@example.com")
    scene.authority.sign_in_as = "stranger@example.com"
    scene.save(connection("gmail", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("gmail", "--no-check") as command:
        assert command.end() == 2
    assert "https://" not in command.output
    assert f"kubectl mailfetch authorize gmail -n {scene.namespace}\n" in command.output
    with scene.run("gmail") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "Signed in as" not in command.output
    assert "whoever signed in may not open the mailbox g@example.com" in command.output
    assert scene.get("secret", "gmail-token") == {}


def test_a_shared_mailbox_is_opened_with_the_token_of_the_account(scene: Scene, certificates: Certificates) -> None:
    scene.graph.mailbox("shared@contoso.com").share("u@contoso.com")
    scene.save(connection("billing", sharedMailbox="shared@contoso.com", server={"host": "shared.test"}))
    scene.save(connection("bills", sharedMailbox="shared@contoso.com", protocol="MicrosoftGraph"))
    tokens = OAuth2(introspection=scene.authority.introspection(), users="domain")
    with Dovecot(certificates, oauth2=tokens) as dovecot:
        scene.addresses["shared.test", 993] = dovecot.imaps_port
        for name in ("billing", "bills"):
            with scene.run(name) as command:
                command.visit(command.address())
                assert command.end() == 0, command.output
            assert "Signed in as u@contoso.com." in command.output
            assert "The mailbox shared@contoso.com can be opened." in command.output
            scene.token(f"{name}-token")


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
