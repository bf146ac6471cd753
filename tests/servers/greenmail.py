"""A real GreenMail (IMAP and POP3, Java) for tests: free ports, mails in memory; it dies with the test runner.

Users are those that `add_user` adds. Mails are delivered over IMAP (see tests/conformance/raw_imap.py).
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import free_ports, run
from tests.servers.certs import Certificates
from tests.servers.private_mounts import installed

PASSWORD = "Pass-1-word"
"""ASCII without blanks: GreenMail reads no other."""
DEADLINE = 120.0
_STORE_PASSWORD = "changeit"


class GreenMail:
    """One running server: TLS and no encryption, but no STARTTLS and no STLS."""

    def __init__(self, certificates: Certificates) -> None:
        self.imap_port, self.imaps_port, self.pop3_port, self.pop3s_port, self._api_port = free_ports(5)
        self._certificates = certificates
        self._directory = Path(tempfile.mkdtemp(prefix="mail-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._make_store()
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts it; users and mails of an earlier life are gone."""
        settings = {
            "greenmail.hostname": "127.0.0.1",
            "greenmail.imap.port": self.imap_port,
            "greenmail.imaps.port": self.imaps_port,
            "greenmail.pop3.port": self.pop3_port,
            "greenmail.pop3s.port": self.pop3s_port,
            "greenmail.api.hostname": "127.0.0.1",
            "greenmail.api.port": self._api_port,
            "greenmail.startup.timeout": 60_000,
            "greenmail.tls.keystore.file": self._store,
            "greenmail.tls.keystore.password": _STORE_PASSWORD,
            "file.encoding": "UTF-8",
        }
        command = ["setpriv", "--pdeathsig", "KILL", "java", "-Xmx1g"]
        command += [f"-D{name}={value}" for name, value in settings.items()]
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "-jar", str(installed("greenmail"))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for port in (self.imap_port, self.imaps_port, self.pop3_port, self.pop3s_port, self._api_port):
            self._await(port)

    def stop(self) -> None:
        """Ends it and removes its directory."""
        process, self._process = self._process, None
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def add_user(self, user: str, password: str = PASSWORD) -> None:
        """Adds a user, who is known at once."""
        body = json.dumps({"email": f"{user}@mail.test", "login": user, "password": password}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._api_port}/api/user", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=DEADLINE).close()

    @property
    def log(self) -> str:
        """What it printed, for messages of failed tests."""
        return (self._directory / "output").read_text(errors="replace")

    @property
    def _store(self) -> Path:
        return self._directory / "server.p12"

    def _make_store(self) -> None:
        key, certificate = self._certificates.key("server"), self._certificates.certificate("server")
        command: list[str | Path] = ["openssl", "pkcs12", "-export", "-inkey", key, "-in", certificate]
        command += ["-certfile", self._certificates.ca, "-out", self._store, "-passout", f"pass:{_STORE_PASSWORD}"]
        run(command)

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            time.sleep(0.1)
        raise RuntimeError(f"GreenMail did not start (port {port}):\n{self.log[-3000:]}")
