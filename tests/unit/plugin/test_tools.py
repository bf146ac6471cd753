"""Calling the tools through kubectl: what is called, and what its failures mean."""

from pathlib import Path

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.tools import Tools, explain
from tests.unit.plugin.kubectl import FakeKubectl


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKubectl:
    found = FakeKubectl(tmp_path)
    monkeypatch.setenv("PATH", found.path)
    return found


def test_kubectl_gets_the_same_cluster_and_the_namespace(kubectl: FakeKubectl) -> None:
    kubectl.answers("queue --stream=s", {"entries": []})
    assert Tools(context="prod", kubeconfig="/k").ask("ns", "queue", "--stream=s") == {"entries": []}
    assert Tools().ask("ns", "queue", "--stream=s") == {"entries": []}
    own, words = kubectl.calls[0]
    assert own == ["--context=prod", "--kubeconfig=/k", "--namespace=ns", "--container=tools"]
    assert words == ["queue", "--stream=s"]
    assert kubectl.calls[1][0] == ["--namespace=ns", "--container=tools"]


def test_a_mail_is_copied_as_it_is(kubectl: FakeKubectl, tmp_path: Path) -> None:
    kubectl.prints("show --raw", "From: a\x1b[2J\n")
    with (tmp_path / "mail.eml").open("wb") as out:
        Tools().copy("ns", "show", "--raw", out=out)
    assert (tmp_path / "mail.eml").read_bytes() == b"From: a\x1b[2J\n"


@pytest.mark.parametrize("output", ["", "text", "[1]", '"x"'])
def test_an_answer_that_is_none_is_an_error(kubectl: FakeKubectl, output: str) -> None:
    kubectl.prints("queue", output)
    with pytest.raises(PluginError, match="of the same version"):
        Tools().ask("ns", "queue")


def test_no_kubectl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PluginError, match="kubectl is not on your PATH"):
        Tools().ask("ns", "queue")


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(PluginError, match=r"did not answer within 0\.2 s") as caught:
        Tools().ask("ns", "queue", timeout=0.2)
    assert caught.value.code is Exit.TIMEOUT


@pytest.mark.parametrize(
    ("code", "complaint", "exit_code", "said"),
    [
        (1, "error: Redis does not answer at \x1b[31mhost\n", Exit.ERROR, "Redis does not answer at  [31mhost"),
        (2, "error: unrecognized arguments: --new\n", Exit.USAGE, "unrecognized arguments: --new"),
        (3, "error: there is no mail x in the queue\n", Exit.NOT_FOUND, "there is no mail x in the queue"),
        (127, "OCI runtime exec failed\n", Exit.ERROR, "is the operator older than this plugin?"),
        (137, "", Exit.ERROR, "tools.resources.limits.memory"),
        (1, "Traceback (most recent call last):\nKeyError: 'x'\n", Exit.ERROR, "KeyError: 'x'"),
        (5, "", Exit.ERROR, "the tools in namespace ns ended with 5"),
    ],
)
def test_what_failed_in_the_pod(kubectl: FakeKubectl, code: int, complaint: str, exit_code: Exit, said: str) -> None:
    kubectl.fails("queue", complaint, code=code)
    with pytest.raises(PluginError) as caught:
        Tools().ask("ns", "queue")
    assert caught.value.code is exit_code
    assert said in caught.value.message


# As kubectl 1.36 says them; the tests of the plugin against a real API server have the first three as well.
@pytest.mark.parametrize(
    ("complaint", "code", "said"),
    [
        (
            'Error from server (NotFound): pods "mailfetch-tools-0" not found',
            Exit.ERROR,
            "kubectl -n ns describe statefulset mailfetch-tools",
        ),
        (
            'Error from server (Forbidden): pods "mailfetch-tools-0" is forbidden: User "x" cannot create resource'
            ' "pods/exec" in API group "" in the namespace "ns"',
            Exit.NO_CLUSTER,
            "docs/security.md",
        ),
        (
            "Error from server (BadRequest): pod mailfetch-tools-0 does not have a host assigned",
            Exit.ERROR,
            "kubectl -n ns describe pod mailfetch-tools-0",
        ),
        (
            'error: Internal error occurred: unable to upgrade connection: container not found ("tools")',
            Exit.ERROR,
            "does not run (yet)",
        ),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            Exit.NO_CLUSTER,
            "cannot reach the cluster",
        ),
        ("error: something \x9bnew", Exit.ERROR, "kubectl exec in mailfetch-tools-0 failed: error: something  new"),
        ("", Exit.ERROR, "it did not say why"),
    ],
)
def test_what_kubectl_says(complaint: str, code: Exit, said: str) -> None:
    found = explain(complaint, namespace="ns")
    assert found.code is code
    assert said in found.message
    assert found.message.replace("\n", "").isprintable()


def test_a_failed_copy_says_why(kubectl: FakeKubectl, tmp_path: Path) -> None:
    kubectl.fails("show --raw", "error: there is no mail x\n", code=3)
    with (tmp_path / "out").open("wb") as out, pytest.raises(PluginError, match="there is no mail x"):
        Tools().copy("ns", "show", "--raw", out=out)
