"""Where a connection and its Secrets are: in a cluster, or in files without one. Pure; it words messages."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """Cluster or files.

    Attributes:
        namespace: Of the connection and its Secrets.
        file: Manifest that the connection was read from; empty: it was read from the cluster.
        directory: Without a cluster: where the Secrets are, as files `SECRET/KEY`; else empty.
    """

    namespace: str
    file: str = ""
    directory: str = ""

    @property
    def options(self) -> str:
        """What `kubectl mailfetch authorize NAME` needs to get here again."""
        file = f"-f {shlex.quote(self.file)}" if self.file else ""
        if self.directory:
            return f"{file} --secrets {shlex.quote(self.directory)}"
        return f"-n {self.namespace} {file}".rstrip()

    def next_step(self, name: str) -> str:
        """The command that shows whether the connection works, or that saves it."""
        if self.directory:
            return f"mailfetch-fetcher probe {self.options}"
        return f"kubectl apply {self.options}" if self.file else f"kubectl mailfetch status {name} {self.options}"

    def without(self, secret: str, keys: Sequence[str]) -> str:
        """That a Secret is missing, and how to make it."""
        if self.directory:
            return f"is neither in {self.directory} nor in {self.file}. {self._files(secret, keys)}"
        create = f"kubectl create secret generic {secret} -n {self.namespace}"
        create += "".join(f" --from-literal={key}=…" for key in keys)
        return f"does not exist in namespace {self.namespace}. Create it:\n{create}"

    def lacking(self, secret: str, keys: Sequence[str]) -> str:
        """That keys of a Secret are missing, and how to add them."""
        lacks = f"has no key {' and no key '.join(keys)}."
        if self.directory:
            return f"{lacks} {self._files(secret, keys)}"
        patch = '{"stringData":{' + ",".join(f'"{key}":"…"' for key in keys) + "}}"
        return f"{lacks} Add it:\nkubectl patch secret {secret} -n {self.namespace} --type=merge -p '{patch}'"

    def _files(self, secret: str, keys: Sequence[str]) -> str:
        files = " and ".join(f"{self.directory}/{secret}/{key}" for key in keys)
        return f"Write {files}, or put it into {self.file} (kind: Secret)."
