import json, re, subprocess, sys
from pathlib import Path
import yaml
from tests.integration.plugin.authorizing import Scene
from tests.servers.resolve import child_environment
EX = Path(__file__).parents[3] / "examples"

def k(scene, *a, **kw):
    return scene.cluster.kubectl(*a, **kw)

def say(*a):
    print(*a, flush=True)

def test_journey(scene: Scene, tmp_path, certificates):
    ns = scene.namespace
    docs = {}
    for name in ("microsoft-imap", "shared-mailbox", "gmail", "google-workspace", "graph"):
        text = (EX / f"{name}.yaml").read_text()
        text = text.replace("office@example.com", "u@contoso.com").replace("billing@example.com", "billing@contoso.com").replace("feedback@example.com", "g@example.com")
        text = text.replace("00000000-0000-0000-0000-000000000000\n  tenant", "app\n  tenant")
        f = tmp_path / f"{name}.yaml"
        f.write_text(text)
        r = k(scene, "apply", "-n", ns, "-f", str(f))
        say(name, r.stdout)
    say(k(scene, "get", "mconn", "-n", ns).stdout)
    say(k(scene, "get", "mconn", "-n", ns, "-o", "wide").stdout)
    # repair secrets
    from tests.servers.authority_model import TENANT
    k(scene, "apply", "-n", ns, "-f", "-", input=json.dumps({"apiVersion":"v1","kind":"Secret","metadata":{"name":"m365-client"},"stringData":{"client-id":"app","tenant-id":TENANT}}))
    k(scene, "apply", "-n", ns, "-f", "-", input=json.dumps({"apiVersion":"v1","kind":"Secret","metadata":{"name":"google-client"},"stringData":{"client-id":"app.apps.googleusercontent.com","client-secret":"google's secret"}}))
    for name in ("office", "billing", "gmail"):
        scene.authority.sign_in_as = "g@example.com" if name == "gmail" else "u@contoso.com"
        with scene.run(name) as a:
            page = a.visit(a.address())
            code = a.end()
        say("=== authorize", name, code, page.status_code); say(a.output)
        say(k(scene, "get", "mconn", name, "-n", ns, "-o", "jsonpath={.metadata.annotations}").stdout)
    for name in ("orders", "invoices"):
        with scene.run(name) as a:
            code = a.end()
        say("=== authorize", name, code); say(a.output)
    p = subprocess.run([str(Path(sys.executable).parent/"kubectl-mailfetch"), "status", "office", "-n", ns, "--kubeconfig", str(scene.cluster.kubeconfig)], capture_output=True, text=True)
    say(p.stdout, p.stderr)
    p = subprocess.run([str(Path(sys.executable).parent/"kubectl-mailfetch"), "list", "outlook.office365", "-n", ns, "--kubeconfig", str(scene.cluster.kubeconfig), "-o", "wide"], capture_output=True, text=True)
    say("LIST by host", p.stdout, p.stderr)
    p = subprocess.run([str(Path(sys.executable).parent/"kubectl-mailfetch"), "list", "billing@", "-n", ns, "--kubeconfig", str(scene.cluster.kubeconfig), "-o", "wide"], capture_output=True, text=True)
    say("LIST by mailbox", p.stdout, p.stderr)
