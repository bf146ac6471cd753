import base64, json
from pathlib import Path
import pytest
from tests.integration.plugin.authorizing import Scene, connection
EX = Path(__file__).parents[3] / "examples"
def say(*a): print(*a, flush=True)

def test_google_without_trial_takes_anybody(scene: Scene):
    scene.authority.google_account("stranger@example.com")
    scene.authority.sign_in_as = "stranger@example.com"
    scene.save(connection("g", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("g", "--no-check") as a:
        a.visit(a.address()); code = a.end()
    say(code, a.output)
    assert code != 0 and not scene.get("secret", "g-token")

def test_google_wrong_account_is_not_named_as_right_one(scene: Scene):
    scene.authority.google_account("stranger@example.com")
    scene.authority.sign_in_as = "stranger@example.com"
    scene.save(connection("g", auth={"type": "GoogleOAuth2", "username": "g@example.com"}))
    with scene.run("g") as a:
        a.visit(a.address()); code = a.end()
    say(code, a.output)
    assert "Signed in as g@example.com" not in a.output

@pytest.mark.parametrize("name,secret,keys", [("microsoft-imap","m365-client",{"client-id":"REAL","tenant-id":"REALT"}),("gmail","google-client",{"client-id":"REAL","client-secret":"REALS"}),("graph","m365-application",{"client-id":"REAL","tenant-id":"REALT","certificate.pem":"PEM"})])
def test_documented_steps_keep_the_client(scene: Scene, name, secret, keys):
    ns = scene.namespace
    scene.cluster.kubectl("delete", "secret", secret, "-n", ns, "--ignore-not-found")
    scene.cluster.kubectl("create", "secret", "generic", secret, "-n", ns, *(f"--from-literal={k}={v}" for k, v in keys.items()))
    scene.cluster.kubectl("apply", "-n", ns, "-f", str(EX/f"{name}.yaml"))
    got = {k: base64.b64decode(v).decode() for k, v in scene.get("secret", secret)["data"].items()}
    say(name, got)
    assert got["client-id"] == "REAL"
