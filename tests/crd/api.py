"""What the tests of the CRD ask of an API server."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.crd.manifests import CRD_FILE

Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True, kw_only=True)
class Api:
    """An API server with the CRD, and a namespace for the tests."""

    kubectl: Callable[..., Result]
    namespace: str

    def install(self) -> None:
        """Applies the CRD and makes the namespace."""
        self.kubectl("apply", "--server-side", "--filename", str(CRD_FILE))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(CRD_FILE))
        self.kubectl("create", "namespace", self.namespace)

    def remove(self) -> None:
        """Removes the namespace; the CRD stays, others may use it."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def run(self, *args: str, input: Any = None, check: bool = True) -> Result:
        """Runs kubectl in the namespace, with a manifest as its standard input."""
        text = None if input is None else json.dumps(input)
        return self.kubectl("--namespace", self.namespace, *args, input=text, check=check)

    def create(self, manifest: Any, *args: str, check: bool = True) -> Result:
        """Creates an object, refusing unknown fields."""
        return self.run("create", "--validate=strict", "--filename", "-", *args, input=manifest, check=check)

    def get(self, name: str) -> dict[str, Any]:
        """A MailConnection."""
        result: dict[str, Any] = json.loads(self.run("get", "mailconnection", name, "--output", "json").stdout)
        return result

    def patch(self, name: str, patch: Any, *args: str, check: bool = True) -> Result:
        """A merge patch."""
        return self.run(
            "patch", "mailconnection", name, "--type=merge", "--patch", json.dumps(patch), *args, check=check
        )


def causes(result: Result) -> list[tuple[str, str]]:
    """(field, message) of each complaint in kubectl's output; the field "" is the request as a whole."""
    text = result.stderr.strip()
    invalid = re.search(r'The MailConnection ".*?" is invalid: ?(.*)', text, re.DOTALL)
    if not invalid:
        return [("", text)]
    found = []
    for line in invalid[1].strip().split("\n* "):
        field, _, message = line.removeprefix("* ").partition(": ")
        # A note of the API server: it does not run the rules on an object whose types are wrong.
        if field != "<nil>":
            found.append((field, message))
    return found
