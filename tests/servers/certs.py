"""Certificates for test servers, made with openssl: one CA, a good certificate, an expired one, one for another host.

All names are of the test domains; the good one also covers the loopback addresses.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["server", "expired", "wronghost"]

_HOSTS = "DNS:localhost,DNS:mail.test,IP:127.0.0.1,IP:127.0.0.2,IP:::1"
_CA_EXTENSIONS = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A directory with `ca.pem` and, for each kind, `<kind>.pem` and `<kind>.key`."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    def certificate(self, kind: Kind) -> Path:
        return self.directory / f"{kind}.pem"

    def key(self, kind: Kind) -> Path:
        return self.directory / f"{kind}.key"


def make_certificates(directory: Path, *, hosts: tuple[str, ...] = ()) -> Certificates:
    """Makes all of them in `directory`; does nothing if they are there.

    Args:
        directory: Made if it does not exist.
        hosts: More names for the good certificate, as in `DNS:dovecot.mail.svc` or `IP:10.0.0.1`.
    """
    made = Certificates(directory=directory)
    if made.certificate("wronghost").exists():
        return made
    directory.mkdir(parents=True, exist_ok=True)
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail test CA"),
        *("-keyout", str(directory / "ca.key"), "-out", str(made.ca)),
        *(word for extension in _CA_EXTENSIONS for word in ("-addext", extension)),
    )
    names = ",".join((_HOSTS, *hosts))
    _sign(made, "server", subject="localhost", names=names, days=3650)
    _sign(made, "expired", subject="localhost", names=names, days=-1)
    _sign(made, "wronghost", subject="other.test", names="DNS:other.test", days=3650)
    return made


def _sign(made: Certificates, kind: Kind, *, subject: str, names: str, days: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        request, extensions = Path(scratch, "request"), Path(scratch, "extensions")
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n"
            "basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}"),
            *("-keyout", str(made.key(kind)), "-out", str(request)),
        )
        # `-days -1` ends the validity a day before it begins: expired for every clock.
        _openssl(
            *("x509", "-req", "-in", str(request), "-days", str(days), "-extfile", str(extensions)),
            *("-CA", str(made.ca), "-CAkey", str(made.directory / "ca.key"), "-CAcreateserial"),
            *("-out", str(made.certificate(kind))),
        )
    made.key(kind).chmod(0o644)  # a server that runs as another user reads it; these keys protect nothing


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")
