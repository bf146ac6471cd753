"""Certificates and kubeconfigs of a throw-away cluster, made with openssl (3.0 or newer)."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.processes import run

DAYS = "30"


class Pki:
    """A certificate authority in a folder; every certificate that it issues lies next to it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self._request(
            "ca", "/CN=mailfetch-test-ca", ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]
        )

    def _request(self, name: str, subject: str, extensions: Sequence[str], *issuer: str | Path) -> None:
        command: list[str | Path] = ["openssl", "req", "-x509", "-days", DAYS, "-subj", subject]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt"]
        # An empty configuration: the system's own would add extensions that contradict ours.
        command += ["-config", self._empty_configuration(), *issuer]
        for extension in extensions:
            command += ["-addext", extension]
        run(command)

    def _empty_configuration(self) -> Path:
        path = self.folder / "openssl.cnf"
        path.write_text("[req]\ndistinguished_name = none\n[none]\n")
        return path

    def issue(self, name: str, subject: str, *, hosts: Sequence[str] | None = None) -> None:
        """Issues NAME.crt and NAME.key: for a server under `hosts` ("DNS:x", "IP:1.2.3.4"), or else for a client."""
        usage = ["keyUsage=critical,digitalSignature,keyEncipherment", "basicConstraints=critical,CA:FALSE"]
        if hosts is None:
            usage.append("extendedKeyUsage=clientAuth")
        else:
            usage += ["extendedKeyUsage=serverAuth", "subjectAltName=" + ",".join(hosts)]
        self._request(name, subject, usage, "-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key")

    def service_account_keys(self) -> None:
        """The pair sa.key and sa.pub that signs the tokens of service accounts."""
        private = self.folder / "sa.key"
        run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private])
        run(["openssl", "pkey", "-in", private, "-pubout", "-out", self.folder / "sa.pub"])

    def kubeconfig(self, name: str, server: str) -> Path:
        """Writes NAME.conf for the client certificate NAME."""
        path = self.folder / f"{name}.conf"
        cluster = {"server": server, "certificate-authority-data": self._base64("ca.crt")}
        user = {
            "client-certificate-data": self._base64(f"{name}.crt"),
            "client-key-data": self._base64(f"{name}.key"),
        }
        # JSON is YAML, and every client reads it.
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "mailfetch-test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "mailfetch-test", "context": {"cluster": "mailfetch-test", "user": name}}],
            "current-context": "mailfetch-test",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1))
        return path

    def _base64(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()
