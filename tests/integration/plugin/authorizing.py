"""Runs `kubectl mailfetch authorize` as a person does; the test is the browser."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Self

import requests

from tests.cluster.control_plane import ControlPlane
from tests.servers.authority import Authority
from tests.servers.graph import GraphFake
from tests.servers.resolve import Addresses, child_environment

SCRIPT = Path(sys.executable).parent / "kubectl-mailfetch"
PATIENCE = 120


class Authorizing:
    """The command while it runs; a context manager that ends it."""

    def __init__(
        self, *args: str, kubeconfig: Path, ca: Path, addresses: Addresses, stdin: str = "", browser: str = ""
    ) -> None:
        """Starts it.

        Args:
            *args: The command line behind `authorize`.
            kubeconfig: Whose rights it has.
            ca: The authority of the doubles.
            addresses: Where the names of the providers lead.
            stdin: Its standard input.
            browser: A command to open addresses with; none by default.
        """
        named = {"KUBECONFIG": str(kubeconfig), "BROWSER": browser}
        environment = child_environment(addresses, {**os.environ, **named})
        if not browser:
            args = (*args, "--no-browser")
        self.process = subprocess.Popen(
            [str(SCRIPT), "authorize", *args, "--ca-file", str(ca)],
            env=environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if stdin:
            assert self.process.stdin
            self.process.stdin.write(stdin)
            self.process.stdin.close()
        self.output = ""
        self._lines: Queue[str] = Queue()
        self._ca = ca
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()

    def line(self, beginning: str) -> str:
        """The next line that begins so."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError(f"no line {beginning!r} in:\n{self.output}") from None
            if line.startswith(beginning):
                return line
            assert line, f"it ended without a line {beginning!r}:\n{self.output}"

    def address(self) -> str:
        """Where the person has to go."""
        return self.line("https://").strip()

    def visit(self, address: str) -> requests.Response:
        """The browser goes there and is sent back; the names must be resolved in this process too."""
        with requests.Session() as browser:
            browser.trust_env = False
            browser.verify = str(self._ca)
            return browser.get(address, timeout=PATIENCE)

    def end(self) -> int:
        """Its exit code."""
        code = self.process.wait(timeout=PATIENCE)
        while self._lines.get(timeout=PATIENCE):
            pass
        assert "Traceback" not in self.output, self.output
        return code

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            self._lines.put(line)
        self._lines.put("")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A namespace with the OAuth2 clients, and the providers."""

    cluster: ControlPlane
    namespace: str
    authority: Authority
    graph: GraphFake
    run: Callable[..., Authorizing]
    addresses: dict[tuple[str, int], int]

    def save(self, document: dict[str, Any]) -> None:
        self.cluster.kubectl("create", "-n", self.namespace, "-f", "-", input=json.dumps(document))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = self.cluster.kubectl("get", kind, name, "-n", self.namespace, "-o", "json", "--ignore-not-found").stdout
        result: dict[str, Any] = json.loads(found) if found else {}
        return result

    def token(self, name: str, key: str = "refresh-token") -> str:
        """The content of a token Secret: what the authority gave to whoever signed in."""
        token = base64.b64decode(self.get("secret", name)["data"][key]).decode()
        assert self.authority.refreshes[token].account.address == self.authority.sign_in_as
        return token


def connection(name: str, **spec: Any) -> dict[str, Any]:
    """A Microsoft IMAP connection; `auth`, `oauth2` and other parts of the spec may be changed."""
    auth = {"type": "MicrosoftOAuth2", "username": "u@contoso.com", **spec.pop("auth", {})}
    client = "google-client" if auth["type"] == "GoogleOAuth2" else "m365-client"
    oauth2 = {
        "clientSecretRef": {"name": client},
        "tokenSecretRef": {"name": f"{name}-token"},
        **spec.pop("oauth2", {}),
    }
    return {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {"name": name},
        "spec": {"protocol": "IMAP", "auth": {**auth, "oauth2": oauth2}, **spec},
    }


def client_secret(name: str, **values: str) -> dict[str, Any]:
    """A Secret with an OAuth2 client; underscores stand for hyphens."""
    texts = {key.replace("_", "-"): value for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}
