"""A request as the Graph double understands it. Whatever no correct client sends raises `Wrong`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from tests.servers.graph_schema import MESSAGE, Wrong, bad_request

_CALLED = re.compile(r"(\w+)\('(.*)'\)")
_IMMUTABLE = re.compile(r'(?i)idtype="immutableid"')
_OPTIONS: Mapping[str, frozenset[str]] = {
    "me": frozenset({"$select"}),
    "folder": frozenset({"$select"}),
    "folders": frozenset({"$select", "$top", "$skip", "$filter", "includehiddenfolders"}),
    "children": frozenset({"$select", "$top", "$skip", "$filter", "includehiddenfolders"}),
    "list": frozenset({"$select", "$top", "$skip", "$filter", "$orderby", "$count"}),
    "delta": frozenset({"$select", "$skiptoken", "$deltatoken"}),  # the tokens are empty, else it is no beginning
    "delta_next": frozenset({"$skiptoken"}),
    "delta_link": frozenset({"$deltatoken"}),
    "message": frozenset({"$select"}),
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """`user` is empty for /me; `parts` are the segments behind it."""

    method: str
    host: str
    user: str
    parts: tuple[str, ...]
    query: Mapping[str, str]
    headers: Message
    body: bytes
    ordinary: bool = False
    """The wish for immutable ids is ignored."""

    @cached_property
    def endpoint(self) -> str:
        """One of graph_faults.ENDPOINTS; empty: Graph has no such thing, or nothing that we need."""
        words = tuple(part if at == 1 else part.lower() for at, part in enumerate(self.parts))
        match (self.method, *words):
            case ("GET",):
                return "me"
            case ("GET", "mailfolders"):
                return "folders"
            case ("GET", "mailfolders", _):
                return "folder"
            case ("GET", "mailfolders", _, "childfolders"):
                return "children"
            case ("GET", "mailfolders", _, "messages"):
                return "list"
            case ("GET", "mailfolders", _, "messages", ("delta" | "delta()")):
                return self._delta()
            case ("GET", "messages", _):
                return "message"
            case ("GET", "messages", _, "$value"):
                return "value"
            case ("PATCH", "messages", _):
                return "patch"
            case ("DELETE", "messages", _):
                return "delete"
            case ("POST", "messages", _, "move"):
                return "move"
            case ("POST", "messages", _, "permanentdelete"):
                return "permanent_delete"
        return ""

    def _delta(self) -> str:
        if self.query.get("$skiptoken"):
            return "delta_next"
        return "delta_link" if self.query.get("$deltatoken") else "delta"

    @property
    def id(self) -> str:
        """Of the mail or the folder."""
        return self.parts[1] if len(self.parts) > 1 else ""

    @property
    def base(self) -> str:
        """How links begin."""
        who = f"users('{quote(self.user, safe='')}')" if self.user else "me"
        return f"https://{self.host}/v1.0/{who}"

    @property
    def wants_immutable(self) -> bool:
        return any(_IMMUTABLE.fullmatch(one) for one in self.preferences)

    @property
    def immutable(self) -> bool:
        return self.wants_immutable and not self.ordinary

    @property
    def page_size(self) -> int:
        """The wanted one; 0: none is."""
        for one in self.preferences:
            name, _, value = one.partition("=")
            if name.lower() == "odata.maxpagesize":
                return int(value)
        return 0

    @cached_property
    def preferences(self) -> tuple[str, ...]:
        given = ",".join(self.headers.get_all("Prefer", []))
        return tuple(one.strip() for one in given.split(",") if one.strip())

    @property
    def applied(self) -> Mapping[str, str]:
        """Headers of the answer."""
        honoured = [one for one in self.preferences if not (self.ordinary and _IMMUTABLE.fullmatch(one))]
        return {"Preference-Applied": ", ".join(honoured)} if honoured else {}

    @cached_property
    def select(self) -> tuple[str, ...]:
        """The properties asked for; none: the usual ones."""
        return tuple(filter(None, self.query.get("$select", "").split(",")))

    def check(self) -> None:
        """What can be said without looking into a mailbox."""
        if self.body and self.endpoint not in ("patch", "move"):
            raise bad_request("A request has a body that wants none.")
        if not self.endpoint:
            self._refuse_unknown()
        allowed = _OPTIONS.get(self.endpoint, frozenset())
        for option in self.query:
            if option not in allowed:
                raise bad_request(f"The query option '{option}' is not allowed here.")
        if self.endpoint not in ("me", "folder", "folders", "children"):
            for name in self.select:
                if name not in MESSAGE:
                    text = f"Could not find a property named '{name}' on type 'microsoft.graph.message'."
                    raise Wrong(400, "RequestBroker--ParseUri", text)
        for one in self.preferences:
            if not (_IMMUTABLE.fullmatch(one) or re.fullmatch(r"(?i)odata\.maxpagesize=[1-9]\d*", one)):
                raise bad_request(f"Unknown preference {one}.")

    def _refuse_unknown(self) -> None:
        if len(self.parts) == 5 and self.parts[4].lower() == "$value":
            raise Wrong(400, "ErrorInvalidRequest", "The OData request is not supported.")
        raise bad_request(f"Resource not found for the segment '{self.parts[-1] if self.parts else ''}'.")

    def number(self, option: str, default: int, most: int) -> int:
        """The value of $top or $skip."""
        value = self.query.get(option, str(default))
        if not value.isdecimal() or not int(value) <= most:
            raise bad_request(f"The value '{value}' of '{option}' is not allowed: at most {most}.")
        return int(value)


def parse(method: str, target: str, *, headers: Message, body: bytes) -> Call:
    """Reads the first line of a request.

    Raises:
        Wrong: It is not one for Graph.
    """
    if "Transfer-Encoding" in headers:
        raise bad_request("The body has no length.")
    if re.search(r"[^!-~]|#", target):
        raise bad_request("The address holds characters that must be quoted.")
    url = urlsplit(target)
    parts: list[str] = []
    for segment in url.path.split("/")[1:]:
        called = _CALLED.fullmatch(unquote(segment))
        parts += called.groups() if called else (unquote(segment),)
    if not parts or parts.pop(0) != "v1.0":
        raise bad_request("Unsupported API version.")
    root = parts.pop(0).lower() if parts else ""
    if root not in ("me", "users") or (root == "users" and not parts) or "" in parts:
        raise bad_request(f"Resource not found for the segment '{root}'.")
    user = parts.pop(0) if root == "users" else ""
    try:
        pairs = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError:
        raise bad_request("The query is malformed.") from None
    query = {name.lower(): value for name, value in pairs}
    if len(query) != len(pairs):
        raise bad_request("A query option is given twice.")
    host = headers.get("Host", "").lower()
    return Call(method=method, host=host, user=user, parts=tuple(parts), query=query, headers=headers, body=body)
