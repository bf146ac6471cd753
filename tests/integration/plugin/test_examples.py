"""The examples with OAuth2, step by step as their headers say: client Secret, apply, authorize."""

from pathlib import Path

import pytest

from tests.integration.plugin.authorizing import Scene, client_secret
from tests.integration.plugin.conftest import GOOGLE_CLIENT

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[3] / "examples"


def apply(scene: Scene, example: str) -> str:
    file = EXAMPLES / f"{example}.yaml"
    return scene.cluster.kubectl("apply", "-n", scene.namespace, "-f", str(file)).stdout


@pytest.mark.parametrize("example", ["microsoft-imap", "shared-mailbox", "gmail", "graph", "google-workspace"])
def test_applying_one_leaves_the_client_secret_alone(scene: Scene, example: str) -> None:
    """It was made before, by a command of the header."""
    assert "secret" not in apply(scene, example)


@pytest.mark.parametrize(
    ("example", "name", "account"),
    [("microsoft-imap", "office", "office@example.com"), ("gmail", "gmail", "feedback@example.com")],
)
def test_a_person_authorizes(scene: Scene, example: str, name: str, account: str) -> None:
    """The client Secret is the scene's."""
    register = scene.authority.google_account if example == "gmail" else scene.authority.account
    register(account)
    scene.authority.sign_in_as = account
    apply(scene, example)
    with scene.run(name) as command:
        command.visit(command.address())
        assert command.end() == 0, command.output
    scene.token(f"{name}-token")


@pytest.mark.parametrize(
    ("example", "name", "secret"),
    [("graph", "invoices", "m365-application"), ("google-workspace", "orders", "workspace-application")],
)
def test_an_application_needs_nobody(scene: Scene, example: str, name: str, secret: str) -> None:
    scene.save(client_secret(secret, client_id=GOOGLE_CLIENT))
    apply(scene, example)
    with scene.run(name) as command:
        assert command.end() == 1
    assert "nobody has to authorize it" in command.output
    assert f"kubectl mailfetch status {name} -n {scene.namespace}" in command.output
