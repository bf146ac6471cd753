"""A strict double of Microsoft Entra and Google's authorization server: one HTTPS server, told apart by Host.

    with Authority(certificates) as authority, resolve(authority.addresses):
        authority.account("u@contoso.com")
        authority.register_client("app", secret="s", redirect="http://localhost")
        refresh = authority.authorize("app", "u@contoso.com", "https://outlook.office.com/IMAP.AccessAsUser.All")
        authority.fail_next("AADSTS50173")           # names: authority_errors.py
        authority.revoke("u@contoso.com")            # every refresh token of the account is refused from now on
        authority.count(grant="refresh_token")       # requests that arrived

The certificate must cover the names: `make_certificates(directory, hosts=CERTIFICATE_NAMES)` (resolve.py). What no
correct client does is kept in `faults`, and fails the test when the context ends. `issued` holds every secret that was
given out, and the verifiers of PKCE, for tests that look for them where they must not be.
"""

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.servers import authority_pages as pages
from tests.servers.authority_entra import answer_entra
from tests.servers.authority_errors import BROKEN, CONNECTION_FAULTS, ERRORS, Answer, Refused, as_json, refuse
from tests.servers.authority_google import answer_google
from tests.servers.authority_http import Server
from tests.servers.authority_model import GOOGLE, RESOURCES, Call, Request
from tests.servers.authority_state import State
from tests.servers.certs import Certificates

_GOOGLE_HOSTS = ("accounts.google.com", "oauth2.googleapis.com", "www.googleapis.com")


@dataclass(kw_only=True)
class _Failure:
    name: str
    times: int | None
    endpoint: str
    grant: str


class Authority(State):
    """The running server. Use it as a context manager."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.told = threading.Condition(self.lock)
        self._failures: list[_Failure] = []
        self._gate = threading.Event()
        self._gate.set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
        self._server = Server(self._respond, self.fault, context)
        # Dovecot does not trust a private authority for introspection.
        self._plain = Server(self._introspect, self.fault, None)
        self.port = int(self._server.server_port)
        self.addresses = {(host, 443): self.port for host in (*RESOURCES, *_GOOGLE_HOSTS)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._gate.set()
        self._server.close()
        self._plain.close()
        if error is None and self.faults:
            raise AssertionError(f"the authority saw: {self.faults}")

    def introspection(self, mail_host: str = "") -> str:
        """Where Dovecot asks about tokens; with a mail host only those for its resource are good."""
        return f"http://client:secret@127.0.0.1:{self._plain.server_port}/introspect/{mail_host}"

    # ---- faults ----

    def fail_next(self, name: str, *, times: int | None = 1, endpoint: str = "token", grant: str = "") -> None:
        """The next requests meet this instead of an answer.

        Args:
            name: In `ERRORS`, `BROKEN` or `CONNECTION_FAULTS` (authority_errors.py).
            times: How many; None: until `recover`.
            endpoint: `token`, `discovery`, `device`, `authorize`.
            grant: Only requests of this grant type.
        """
        if name not in (*ERRORS, *BROKEN, *CONNECTION_FAULTS):
            raise ValueError(name)
        with self.lock:
            self._failures.append(_Failure(name=name, times=times, endpoint=endpoint, grant=grant))

    def recover(self) -> None:
        """No more faults."""
        with self.lock:
            self._failures.clear()

    def hold(self) -> None:
        """Token requests arrive and are not answered, until `release`."""
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def cut_connections(self) -> None:
        """Ends every connection that a client keeps open."""
        self._server.cut_all()

    # ---- looking ----

    def count(self, endpoint: str = "token", *, grant: str = "", client: str = "", account: str = "") -> int:
        """How many requests arrived."""
        with self.lock:
            return sum(
                r.endpoint == endpoint
                and grant in ("", r.grant)
                and client in ("", r.client)
                and account in ("", r.account)
                for r in self.requests
            )

    def await_requests(self, number: int, endpoint: str = "token") -> None:
        """Returns when that many requests have arrived."""
        with self.told:
            assert self.told.wait_for(lambda: self.count(endpoint) >= number, timeout=60), self.requests

    def enter_code(
        self,
        user_code: str,
        address: str = "",
        *,
        decision: Literal["approved", "declined", "expired"] = "approved",
    ) -> None:
        """Somebody types a user code and signs in; or declines; or nobody does until it expires."""
        with self.lock:
            device = self.user_codes[user_code]
            if decision == "approved":
                device.account = self.accounts[address.lower()]
                pages.consent(self, device.client, device.account, device.host, device.scopes)
            device.state = decision

    # ---- inside ----

    def _respond(self, call: Call) -> Answer | str:
        found = self._route(call)
        if found is None:
            self.fault(f"{call.method} https://{call.host}{call.path}")
            return as_json({"error": "not_found"}, status=404)
        endpoint, answer = found
        self._look_for_secrets(call)
        request = Request(
            host=call.host,
            endpoint=endpoint,
            grant=call.form.get("grant_type", ""),
            client=call.form.get("client_id", call.query.get("client_id", "")),
            scopes=tuple(call.form.get("scope", call.query.get("scope", "")).split()),
            claims=call.form.get("claims", ""),
        )
        with self.told:
            self.requests.append(request)
            self.told.notify_all()
        if endpoint == "token":
            self._gate.wait()
        with self.lock:
            return self._answer(request, answer)

    def _answer(self, request: Request, answer: Callable[[Request], Answer]) -> Answer | str:
        failure = self._failure(request)
        if failure and failure != "lost":
            request.outcome = failure
            if failure in ERRORS:
                return refuse(Refused(failure, request.client))
            return BROKEN.get(failure, failure)
        try:
            given = answer(request)
            request.outcome = request.outcome or "ok"
        except Refused as e:
            request.outcome = e.name
            given = refuse(e)
        return failure or given

    def _failure(self, request: Request) -> str:
        for failure in self._failures:
            if failure.endpoint == request.endpoint and failure.grant in ("", request.grant):
                if failure.times is not None:
                    failure.times -= 1
                    if failure.times == 0:
                        self._failures.remove(failure)
                return failure.name
        return ""

    def _route(self, call: Call) -> tuple[str, Callable[[Request], Answer]] | None:
        """Endpoint, and what answers; None: there is no such address."""
        match call.method, call.host, call.path.strip("/").split("/"):
            case "GET", "accounts.google.com", ["o", "oauth2", "v2", "auth"] | ["o", "oauth2", "auth"]:
                return "authorize", lambda r: pages.answer_authorize(self, call, r, tenant=GOOGLE)
            case "POST", "oauth2.googleapis.com", ["token"]:
                return "token", lambda r: answer_google(self, call, r)
            case "GET", "www.googleapis.com", ["oauth2", "v3", "certs"]:
                return "keys", lambda _: pages.answer_keys()
            case _, host, _ if host not in RESOURCES:
                return None
            case "GET", host, [tenant, "v2.0", ".well-known", "openid-configuration"]:
                return "discovery", lambda _: pages.answer_discovery(self, host, tenant)
            case "GET", "login.microsoftonline.com", ["common", "discovery", "instance"]:
                return "instances", lambda _: pages.answer_instances()
            case "GET", _, [_, "discovery", "v2.0", "keys"]:
                return "keys", lambda _: pages.answer_keys()
            case "GET", _, [tenant, "oauth2", "v2.0", "authorize"]:
                return "authorize", lambda r: pages.answer_authorize(self, call, r, tenant=tenant)
            case "POST", _, [tenant, "oauth2", "v2.0", "devicecode"]:
                return "device", lambda r: pages.answer_device(self, call, r, tenant=tenant)
            case "POST", _, [tenant, "oauth2", "v2.0", "token"]:
                return "token", lambda r: answer_entra(self, call, r, tenant=tenant)
        return None

    def _look_for_secrets(self, call: Call) -> None:
        """Addresses end up in logs."""
        hidden = {"client_secret", "code_verifier", "refresh_token", "client_assertion", "assertion", "access_token"}
        if found := sorted(hidden & set(call.query)):
            self.fault(f"{found} in the address of {call.path}")

    def _introspect(self, call: Call) -> Answer | str:
        parts = call.path.strip("/").split("/")
        if call.method != "POST" or parts[0] != "introspect":
            self.fault(f"{call.method} {call.path} at the introspection")
            return as_json({"error": "not_found"}, status=404)
        with self.told:
            self.requests.append(Request(host=call.host, endpoint="introspection"))
            self.told.notify_all()
            return pages.answer_introspection(self, call, parts[1] if len(parts) > 1 else "")
