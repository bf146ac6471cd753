"""Runs a command in the tools pod of a namespace, through `kubectl exec`. Its errors say what to do.

The pod is named in a Role, so its name is fixed. What it writes is made of mails and is not trusted.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import plain

POD = "mailfetch-tools-0"
CONTAINER = "tools"

_ENDED = re.compile(r"^command terminated with exit code (\d+)$", re.MULTILINE)
_NOT_RUNNING = (
    "container not found",
    "does not have a host assigned",
    "not available",
    "completed pod",
    "is not running",
    "unable to upgrade connection",
)
_UNREACHABLE = ("unable to connect to the server", "was refused", "no such host", "i/o timeout")


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The tools pods of one cluster.

    Attributes:
        context: Of the kubeconfig; empty: the current one.
        kubeconfig: Its path; empty: as kubectl finds it.
    """

    context: str = ""
    kubeconfig: str = ""

    def ask(self, namespace: str, *words: str, timeout: float | None = None) -> dict[str, Any]:
        """The answer to a command.

        Args:
            namespace: Whose tools.
            words: The command and its options.
            timeout: Seconds after which it is given up.

        Raises:
            PluginError: it was refused, failed, or did not answer in time.
        """
        done = self._run(namespace, words, out=subprocess.PIPE, timeout=timeout)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PluginError(
                f"{POD} in namespace {namespace} did not answer as this plugin expects: are the plugin and the"
                " operator of the same version?"
            )
        return answer

    def copy(self, namespace: str, *words: str, out: IO[bytes]) -> None:
        """Writes what a command prints to a file.

        Raises:
            PluginError: it was refused, or failed.
        """
        self._run(namespace, words, out=out, timeout=None)

    def _run(
        self, namespace: str, words: Sequence[str], *, out: int | IO[bytes], timeout: float | None
    ) -> "subprocess.CompletedProcess[bytes]":
        options = [f"--context={self.context}"] * bool(self.context)
        options += [f"--kubeconfig={self.kubeconfig}"] * bool(self.kubeconfig)
        where = [f"--namespace={namespace}", "exec", POD, f"--container={CONTAINER}"]
        argv = ["kubectl", *options, *where, "--", "mailfetch-fetcher", "tools", *words]
        try:
            done = subprocess.run(  # noqa: S603 - no shell
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, timeout=timeout, check=False
            )
        except FileNotFoundError as e:
            raise PluginError(
                "kubectl is not on your PATH: queue and log are read by `kubectl exec`. Install it, or add its folder"
                " to PATH."
            ) from e
        except subprocess.TimeoutExpired as e:
            raise PluginError(f"{POD} did not answer within {timeout:g} s", code=Exit.TIMEOUT) from e
        if done.returncode != 0:
            raise explain(done.stderr.decode(errors="replace"), namespace=namespace)
        return done


def explain(complaint: str, *, namespace: str) -> PluginError:
    """What kubectl's complaint means and what to do about it."""
    if ended := _ENDED.search(complaint):
        return _failed(complaint[: ended.start()], int(ended[1]), namespace)
    text, lower = plain(" ".join(complaint.split())).strip(), complaint.lower()
    if "forbidden" in lower:
        return PluginError(
            f"you may not look into mails in namespace {namespace}: {text}\n"
            f"That takes `create` on pods/exec of {POD}: ask for a RoleBinding to the chart's ClusterRole …-mail"
            " (docs/security.md).",
            code=Exit.NO_CLUSTER,
        )
    if "notfound" in lower and POD in lower:
        return PluginError(
            f"there is no pod {POD} in namespace {namespace}. The operator makes it as soon as the namespace has a"
            f" MailConnection; if it does not come: kubectl -n {namespace} describe statefulset mailfetch-tools"
        )
    if any(known in lower for known in _UNREACHABLE):
        return PluginError(f"cannot reach the cluster: {text}", code=Exit.NO_CLUSTER)
    if any(known in lower for known in _NOT_RUNNING):
        return PluginError(
            f"the pod {POD} in namespace {namespace} does not run (yet): {text}\n"
            f"If that lasts: kubectl -n {namespace} describe pod {POD}"
        )
    return PluginError(f"kubectl exec in {POD} failed: {text or 'it did not say why'}")


def _failed(complaint: str, code: int, namespace: str) -> PluginError:
    """The command ran in the pod and ended with this exit code."""
    said = [line.removeprefix("error: ") for line in complaint.splitlines() if line.startswith("error: ")]
    text = plain(" ".join(said) or " ".join(complaint.split()[-40:]))
    if code == 3:
        return PluginError(text, code=Exit.NOT_FOUND)
    if code == 2:
        return PluginError(
            f"the tools in namespace {namespace} do not take this: {text}\nIf the plugin is newer than the operator,"
            " use one of the same version.",
            code=Exit.USAGE,
        )
    if code in (126, 127):
        return PluginError(f"the image of {POD} has no tools: is the operator older than this plugin?")
    if code == 137:
        return PluginError(
            f"{POD} was stopped, probably for want of memory: ask for fewer mails (--limit), or raise the chart's"
            " value tools.resources.limits.memory."
        )
    return PluginError(text or f"the tools in namespace {namespace} ended with {code}")
