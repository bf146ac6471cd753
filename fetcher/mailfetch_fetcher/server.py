"""The fetcher's HTTP port: `/report` for the operator, `/metrics`, `/healthz`. No mail data, no secrets."""

import logging
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mailfetch_fetcher.contract import report as contract
from mailfetch_fetcher.metrics import REGISTRY
from mailfetch_fetcher.report import ReportHub

log = logging.getLogger(__name__)
_LONGEST_WAIT = 60.0
MOST_CONNECTIONS = 64
"""Each costs a thread: whoever comes when all are taken is sent away. One operator needs one."""
_EACH = 16
"""Of these from one address, so that one client cannot keep kubelet's health probe away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "mailfetch"
    sys_version = ""
    timeout = 90  # a client that stops talking does not keep its thread
    hub: ReportHub
    healthy: Callable[[], str]

    def do_GET(self) -> None:
        try:
            url = urlsplit(self.path)
            query = parse_qs(url.query, max_num_fields=20)
            wait = float(query.get("wait", ["0"])[0])
            if not wait >= 0:  # also for what is not a number
                raise ValueError
        except ValueError:
            self._answer(400, b"ask for /report?since=REVISION&wait=SECONDS\n", "text/plain")
            return
        if url.path == contract.PATH:
            found = self.hub.wait(query.get("since", [""])[0], min(wait, _LONGEST_WAIT))
            self._answer(200, contract.encode(found), "application/json")
        elif url.path == "/metrics":
            self._answer(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
        elif url.path == "/healthz":
            trouble = type(self).healthy()
            self._answer(500 if trouble else 200, (trouble or "ok").encode() + b"\n", "text/plain")
        else:
            self._answer(404, b"there are /report, /metrics and /healthz\n", "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._places = threading.Lock()
        self._taken: dict[str, int] = {}
        super().__init__(address, handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """There is a thread to spare; otherwise the connection is closed."""
        with self._places:
            mine = self._taken.get(client_address[0], 0)
            if mine >= _EACH or sum(self._taken.values()) >= MOST_CONNECTIONS:
                return False
            self._taken[client_address[0]] = mine + 1
            return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As inherited; gives the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._places:
                self._taken[client_address[0]] -= 1
                if not self._taken[client_address[0]]:
                    del self._taken[client_address[0]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            log.debug("a client went away: %s", error)
        else:
            log.error("internal error in the HTTP server", exc_info=error)


class _DualServer(_Server):
    """Both IPv4 and IPv6."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(*, hub: ReportHub, healthy: Callable[[], str], host: str, port: int) -> ThreadingHTTPServer:
    """Serves from a thread of its own; end it with `shutdown()`.

    Args:
        hub: Source of the report.
        healthy: Returns what is wrong, or an empty text.
        host: Address; empty means all of them.
        port: Port; 0 takes a free one.
    """
    handler = type("Handler", (_Handler,), {"hub": hub, "healthy": staticmethod(healthy)})
    server: ThreadingHTTPServer
    if host or not socket.has_dualstack_ipv6():
        server = _Server((host or "0.0.0.0", port), handler)  # noqa: S104 - the pod's own port
    else:
        server = _DualServer(("::", port), handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
