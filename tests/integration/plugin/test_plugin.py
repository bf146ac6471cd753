"""The console script against a real API server; the tests play the operator by writing the status."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.running import AWAITING, LISTENING, SCRIPT, Plugin, annotations, make, report

pytestmark = pytest.mark.cluster


def test_list_searches_in_one_namespace_and_in_all(cluster: ControlPlane, namespace: str, plugin: Plugin) -> None:
    make(cluster, namespace, "support", description="Customer INBOX")
    make(cluster, namespace, "billing", user="money@example.net")
    report(cluster, namespace, "support", AWAITING)
    shown = plugin("list", "-n", namespace)
    assert shown.stderr == ""
    header, billing, support = shown.stdout.splitlines()
    assert header.split() == ["NAME", "MAILBOX", "STATE", "ACTIVE", "NEW", "LAG", "LAST", "AGE"]
    assert billing.split()[:2] == ["billing", "money@example.net"]
    assert support.split()[:5] == ["support", "support@example.com", "AwaitingApproval", "False", "1234"]
    for term, expected in (
        ("customer inbox", ["support"]),
        ("MONEY@", ["billing"]),
        ("mail.EXAMPLE.com", ["billing", "support"]),
        ("nothing-like-it", []),
    ):
        names = plugin("list", term, "-n", namespace, "-o", "name").stdout.splitlines()
        assert names == [f"mailconnection.mailfetch.dev/{n}" for n in expected]
    everywhere = plugin("list", "-A", "-o", "json")
    assert {"support", "billing"} <= {i["metadata"]["name"] for i in json.loads(everywhere.stdout)["items"]}
    assert plugin("list", "-A").stdout.split()[0] == "NAMESPACE"


def test_an_empty_list_is_no_error(namespace: str, plugin: Plugin) -> None:
    done = plugin("list", "-n", namespace)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"No MailConnections in namespace {namespace}" in done.stderr


def test_yaml_of_the_plugin_can_be_applied_again(cluster: ControlPlane, namespace: str, plugin: Plugin) -> None:
    make(cluster, namespace, "support")
    printed = plugin("status", "support", "-n", namespace, "-o", "yaml").stdout
    assert yaml.safe_load(printed)["kind"] == "MailConnection"
    assert "configured" in cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=printed).stdout
    listed = yaml.safe_load(plugin("list", "-n", namespace, "-o", "yaml").stdout)
    assert listed["items"][0]["apiVersion"] == "mailfetch.dev/v1alpha1"


def test_the_status_page_names_the_exact_acknowledgement(cluster: ControlPlane, namespace: str, plugin: Plugin) -> None:
    make(cluster, namespace, "support")
    cluster.kubectl("-n", namespace, "annotate", "mconn", "support", "mailfetch.dev/enable=true")
    report(cluster, namespace, "support", AWAITING)
    page = plugin("status", "support", "-n", namespace).stdout
    command = next(line.strip() for line in page.splitlines() if "kubectl annotate" in line)
    assert command.endswith("mailfetch.dev/acknowledge=1234/2")
    cluster.kubectl(*command.split()[1:])
    assert annotations(cluster, namespace, "support")["mailfetch.dev/acknowledge"] == "1234/2"


def test_enable_acknowledges_waits_for_the_operator_and_disable_stops(
    cluster: ControlPlane, namespace: str, plugin: Plugin
) -> None:
    make(cluster, namespace, "support")
    report(cluster, namespace, "support", AWAITING)
    refused = plugin("enable", "support", "-n", namespace)
    assert refused.returncode == 2
    assert "use --yes" in refused.stderr
    assert "mailfetch.dev/enable" not in annotations(cluster, namespace, "support")

    done = plugin("enable", "support", "-n", namespace, "--yes", "--timeout", "1")
    assert done.returncode == 6, done.stderr
    assert "kubectl mailfetch status support" in done.stderr
    found = annotations(cluster, namespace, "support")
    assert (found["mailfetch.dev/enable"], found["mailfetch.dev/acknowledge"]) == ("true", "1234/2")

    report(cluster, namespace, "support", LISTENING)
    again = plugin("enable", "support", "-n", namespace, "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    assert "enabled already: Idle" in again.stdout

    assert plugin("disable", "support", "-n", namespace).returncode == 0
    assert annotations(cluster, namespace, "support")["mailfetch.dev/enable"] == "false"
    managers = json.loads(
        cluster.kubectl("get", "mconn", "support", "-n", namespace, "-o", "json", "--show-managed-fields").stdout
    )["metadata"]["managedFields"]
    assert "kubectl-mailfetch" in {m["manager"] for m in managers}


def test_enable_follows_the_count_to_the_end(cluster: ControlPlane, namespace: str, plugin: Plugin) -> None:
    make(cluster, namespace, "support")
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    process = subprocess.Popen(
        [str(SCRIPT), "enable", "support", "-n", namespace, "--yes", "--timeout", "200"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        where = ("-n", namespace, "mconn/support", "--timeout=200s")
        cluster.kubectl("wait", r"--for=jsonpath={.metadata.annotations.mailfetch\.dev/enable}=true", *where)
        report(cluster, namespace, "support", AWAITING)
        cluster.kubectl("wait", r"--for=jsonpath={.metadata.annotations.mailfetch\.dev/acknowledge}=1234/2", *where)
        report(cluster, namespace, "support", LISTENING)
        stdout, stderr = process.communicate(timeout=200)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, stderr) == (0, "")
    assert "1,234 of 20,110 in the folder" in stdout
    assert "support: Idle." in stdout


def test_an_unknown_name_says_where_to_look(namespace: str, plugin: Plugin) -> None:
    for command in ("status", "enable", "disable"):
        done = plugin(command, "nobody", "-n", namespace)
        assert done.returncode == 3
        assert "kubectl mailfetch list -A" in done.stderr


def test_errors_say_what_to_do(cluster: ControlPlane, namespace: str, plugin: Plugin, tmp_path: Path) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    closed, stranger = tmp_path / "closed", tmp_path / "stranger"
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    closed.write_text(yaml.safe_dump(config))
    done = plugin("list", "--kubeconfig", str(closed))
    assert done.returncode == 4
    assert "cannot reach the cluster at https://127.0.0.1:1: Connection refused" in done.stderr

    cluster.kubectl("create", "serviceaccount", "stranger", "-n", namespace)
    token = cluster.kubectl("create", "token", "stranger", "-n", namespace).stdout.strip()
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    stranger.write_text(yaml.safe_dump(config))
    done = plugin("list", "-n", namespace, "--kubeconfig", str(stranger))
    assert done.returncode == 4
    assert f"you may not list MailConnections in namespace {namespace}" in done.stderr
    assert "docs/security.md" in done.stderr

    config["users"][0]["user"] = {"token": "x" + token}
    stranger.write_text(yaml.safe_dump(config))
    assert "log in again" in plugin("list", "--kubeconfig", str(stranger)).stderr

    assert "no context 'dev'" in plugin("list", "--context", "dev").stderr
    assert plugin("list", KUBECONFIG="/nowhere").returncode == 4


def test_a_cluster_without_the_crd_gets_the_command_that_installs_it(plugin: Plugin, tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(
        textwrap.dedent("""
            import http.server, sys
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    body = b"404 page not found\\n"  # what kube-apiserver says for a group that it does not know
                    self.send_response(404)
                    self.send_header("Content-Type", "text/plain; charset=utf-8")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                def log_message(self, *args): pass
            server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
            print(server.server_port, flush=True)
            server.serve_forever()
        """)
    )
    process = subprocess.Popen([sys.executable, str(server)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
            "current-context": "c",
        }
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        done = plugin("list", "--kubeconfig", str(path))
        assert done.returncode == 4
        assert "helm install mailfetch" in done.stderr
        assert plugin("status", "support", "--kubeconfig", str(path)).returncode == 4
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def test_no_key_is_left_behind(cluster: ControlPlane, namespace: str, plugin: Plugin, tmp_path: Path) -> None:
    assert plugin("list", "-n", namespace, TMPDIR=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []
