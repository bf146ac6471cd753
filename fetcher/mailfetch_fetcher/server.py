"""The fetcher's HTTP port: `/report` for the operator, `/metrics`, `/healthz`. No mail data, no secrets."""

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mailfetch_fetcher.contract import report as contract
from mailfetch_fetcher.metrics import REGISTRY
from mailfetch_fetcher.report import ReportHub

log = logging.getLogger(__name__)
_LONGEST_WAIT = 60.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 90  # a client that stops talking does not keep its thread
    hub: ReportHub
    healthy: Callable[[], str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == contract.PATH:
            query = parse_qs(url.query)
            try:
                wait = min(float(query.get("wait", ["0"])[0]), _LONGEST_WAIT)
            except ValueError:
                self._answer(400, b"wait must be a number of seconds\n", "text/plain")
                return
            found = self.hub.wait(query.get("since", [""])[0], wait)
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
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Both IPv4 and IPv6 where the machine has both."""
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
        server = ThreadingHTTPServer((host or "0.0.0.0", port), handler)  # noqa: S104 - the pod's own port
        server.daemon_threads = True
    else:
        server = _Server(("::", port), handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
