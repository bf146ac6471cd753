"""`kubectl mailfetch authorize` writes nothing and says why when people or providers refuse."""

import signal
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.integration.plugin.authorizing import Scene, client_secret, connection

pytestmark = pytest.mark.cluster


def test_declined_device_codes_write_nothing(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office", "--device") as command:
        line = command.line("Open https://microsoft.com/devicelogin")
        scene.authority.enter_code(line.partition("enter ")[2].split()[0], decision="declined")
        assert command.end() == 1
    assert "were declined" in command.output
    assert scene.get("secret", "office-token") == {}


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


def test_a_certificate_that_cannot_be_read_is_told(scene: Scene) -> None:
    secret = client_secret("broken-client", client_id="app")
    secret["stringData"]["certificate.pem"] = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----"
    scene.save(secret)
    scene.save(connection("office", oauth2={"clientSecretRef": {"name": "broken-client"}}))
    with scene.run("office") as command:
        assert command.end() == 1
    assert "private-key.pem that is not PEM" in command.output


def test_a_permission_that_was_unticked_is_missed(scene: Scene) -> None:
    scene.authority.sign_in_as = "g@example.com"
    scene.authority.unticked = {"https://mail.google.com/"}
    scene.save(connection("gmail", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("gmail") as command:
        command.visit(command.address())
        assert command.end() == 1
    assert "https://mail.google.com/ was not granted" in command.output
    assert scene.get("secret", "gmail-token") == {}


def test_an_interrupt_leaves_nothing_behind(scene: Scene) -> None:
    scene.save(connection("office"))
    with scene.run("office") as command:
        command.line("Waiting")
        command.process.send_signal(signal.SIGINT)
        assert command.end() == 130
    assert scene.get("secret", "office-token") == {}


def test_device_codes_of_google_are_refused_with_the_reason(scene: Scene) -> None:
    scene.save(connection("gmail", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("gmail", "--device") as command:
        assert command.end() == 2
    assert "Google does not allow the permission for mail with device codes" in command.output
