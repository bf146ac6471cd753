"""Keeps the demo's mail server running after the demo has ended: `python -m hack.demo.keeper FOLDER HOST_IP`.

Writes FOLDER/mail.json when mail can be fetched; ends, and removes the mails, on SIGTERM.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from tests.servers.certs import make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import Profile, mails

USER, PASSWORD = "support@example.com", "correct horse battery stäple"
COUNT = 312
PROFILE = Profile(text=8_000, newsletter=30_000, attachment=150_000, cap=2_000_000)


def main() -> None:
    folder, host_ip = Path(sys.argv[1]), sys.argv[2]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    certificates = make_certificates(folder / "certificates", hosts=(f"IP:{host_ip}",))
    with Dovecot(certificates, listen=f"127.0.0.1,{host_ip}") as server:
        server.add_user(USER, PASSWORD)
        server.fill(USER, mails(COUNT, profile=PROFILE))
        told = {"pid": os.getpid(), "host": host_ip, "port": server.imaps_port, "ca": str(certificates.ca)}
        (folder / "mail.json.new").write_text(json.dumps(told))
        (folder / "mail.json.new").rename(folder / "mail.json")
        stop.wait()


if __name__ == "__main__":
    main()
