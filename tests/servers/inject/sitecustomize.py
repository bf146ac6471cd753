"""Python imports this first if its folder is in PYTHONPATH: names of mail providers lead to the loopback.

Which, says the variable `MAILFETCH_TEST_RESOLVE`: JSON, `{"imap.gmail.com:993": 12345}`. `tests.servers.resolve` makes
it, and uses `redirected` for its own process.
"""

import json
import os
import runpy
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "MAILFETCH_TEST_RESOLVE"
PROVIDERS = (
    *("microsoftonline.com", "microsoftonline.us", "microsoftonline.cn", "microsoft.com", "microsoft.us", "live.com"),
    *("windows.net", "office365.com", "office365.us", "office.com", "outlook.com", "outlook.cn", "chinacloudapi.cn"),
    *("google.com", "googleapis.com", "gmail.com", "googlemail.com"),
)
"""Domains that a test never reaches."""

Lookup = Callable[..., Any]


def redirected(real: Lookup, addresses: Mapping[tuple[str, int], int]) -> Lookup:
    """A `getaddrinfo` that finds these (host, port) at a port of 127.0.0.1, and nothing else of the providers."""

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        name = (host.decode() if isinstance(host, bytes) else host or "").rstrip(".").lower()
        known = {"https": 443, "imaps": 993, "pop3s": 995}
        number = known.get(port, port)
        to = addresses.get((name, int(number))) if str(number).isdigit() else None
        if to is not None and family in (socket.AF_UNSPEC, socket.AF_INET):
            return real("127.0.0.1", to, socket.AF_INET, type, proto, flags & ~socket.AI_NUMERICSERV)
        if f".{name}".endswith(tuple(f".{domain}" for domain in PROVIDERS)):
            raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known (in tests): {name}:{port}")
        return real(host, port, family, type, proto, flags)

    return getaddrinfo


def _run_the_next() -> None:
    """There is only one `sitecustomize`: the one behind this one gets its turn too."""
    here = Path(__file__).resolve()
    others = (Path(folder, "sitecustomize.py") for folder in sys.path if folder)
    if other := next((file for file in others if file.is_file() and file.resolve() != here), None):
        runpy.run_path(str(other))


if __name__ == "sitecustomize":
    _told = {name.rpartition(":"): port for name, port in json.loads(os.environ[VARIABLE]).items()}
    socket.getaddrinfo = redirected(socket.getaddrinfo, {(n[0], int(n[2])): port for n, port in _told.items()})
    _run_the_next()
