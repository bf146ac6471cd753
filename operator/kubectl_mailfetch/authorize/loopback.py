"""Where the browser brings the answer of the provider: a listener on this machine (RFC 8252 section 7.3).

It answers on 127.0.0.1 and ::1, so that nobody else on this machine can be what the browser takes for `localhost`.
Only the answer that carries the right state counts; anything else is refused, and it goes on waiting.
"""

import errno
import hmac
import html
import http.server
import os
import queue
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

from kubectl_mailfetch.errors import Exit, PluginError

Answer = Mapping[str, str]
LONGEST = 16 * 1024
"""Characters of a request line; codes have some kilobytes at most."""
_PATIENCE = 10.0
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>kubectl mailfetch</title>
<body style="font-family: sans-serif; margin: 4em auto; max-width: 34em"><h1>{title}</h1><p>{text}</p></body></html>
"""


class Loopback:
    """One sign-in's listener; a context manager, which ends it."""

    def __init__(self, *, port: int = 0, warn: Callable[[str], None]) -> None:
        """Takes the port.

        Args:
            port: 0 takes a free one.
            warn: Tells the person of what was refused.

        Raises:
            PluginError: the port is taken.
        """
        self._warn = warn
        self._state = ""
        self._answers: queue.Queue[Answer] = queue.Queue()
        self._servers = _bind(port, self)
        self.port: int = self._servers[0].server_address[1]

    def __enter__(self) -> "Loopback":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def expect(self, state: str) -> None:
        """From now on answers with this state count."""
        self._state = state

    def wait(self, seconds: float) -> Answer:
        """The answer: what the provider added to the address.

        Raises:
            PluginError: there was none in time.
        """
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            raise PluginError(
                f"nobody signed in within {seconds:g} seconds; nothing was written. Run the command again, with"
                " --timeout for more time.",
                code=Exit.TIMEOUT,
            ) from None

    def judge(self, path: str) -> tuple[int, str, str, Answer | None]:
        """HTTP status, title and text of the page for a request, and the answer that it brought."""
        parts = urlsplit(path)
        try:
            pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=50)
        except ValueError:
            pairs = []
        found = dict(pairs)
        if parts.path != "/" or not ({"state", "code", "error"} & found.keys()):
            return 404, "Nothing here", "This address only takes the answer of a sign-in.", None
        known = bool(self._state) and hmac.compare_digest(found.get("state", "").encode(), self._state.encode())
        if not known or len(found) != len(pairs) or ("code" in found) == ("error" in found):
            self._warn(
                "An answer arrived that does not belong to this sign-in; it was refused. Still waiting: use the address"
                " above, and close older windows."
            )
            text = "It was refused. Use the address that the command printed last, and close older windows."
            return 400, "This answer does not belong to the sign-in that is waiting", text, None
        if "error" in found:
            return 200, "Not authorized", f"The provider said: {found['error']}. The terminal tells more.", found
        text = "The terminal tells whether the mailbox could be opened. You may close this window."
        return 200, "Signed in", text, found

    def deliver(self, answer: Answer) -> None:
        """Hands the answer to who waits; a second one (another tab) is never read."""
        self._answers.put(answer)


class _Server(http.server.ThreadingHTTPServer):
    """Browsers open connections ahead and leave them idle, so each has its thread."""

    daemon_threads = True
    # A port that was used a moment ago may be taken again; on Windows this would let others share it.
    allow_reuse_address = os.name != "nt"

    def __init__(self, address: tuple[str, int], owner: Loopback) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that `HTTPServer` does, which takes long where DNS is broken."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away is none of the person's business."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "kubectl-mailfetch", ""

    def do_GET(self) -> None:
        if len(self.requestline) > LONGEST:
            return self._page(414, "Too long", "This address only takes the answer of a sign-in.")
        status, title, text, answer = self.server.owner.judge(self.path)
        self._page(status, title, text)
        if answer is not None:  # after the page: the command may end at once
            self.server.owner.deliver(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the request line holds the code."""

    def _page(self, status: int, title: str, text: str) -> None:
        body = _PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        self.close_connection = True


def _bind(port: int, owner: Loopback) -> list[_Server]:
    """Listeners on both loopback addresses with one port; ::1 is left out where there is no IPv6."""
    tries = 1 if port else 20  # a free port of 127.0.0.1 may be taken on ::1
    for left in reversed(range(tries)):
        servers: list[_Server] = []
        try:
            servers.append(_Server(("127.0.0.1", port), owner))
            servers.append(_Server6(("::1", servers[0].server_address[1]), owner))
        except OSError as e:
            if servers and e.errno != errno.EADDRINUSE:
                return servers
            for server in servers:
                server.server_close()
            if not left:
                raise PluginError(
                    f"cannot listen on port {port} of this machine: {e.strerror}. Choose another with --port.",
                    code=Exit.USAGE,
                ) from e
        else:
            return servers
    raise AssertionError("the last try returns or raises")
