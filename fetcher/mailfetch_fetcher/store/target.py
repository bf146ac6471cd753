"""Where Redis is: the URL of the Redis Secret, taken apart once. No text made here shows a password."""

import re
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

from mailfetch_fetcher.errors import Pace, StoreError

_FORMS: Final = {
    "": "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]",
    "sentinel": "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],…/MASTER_NAME[/DATABASE] (the hosts are the "
    "Sentinels)",
    "cluster": "redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],…",
}
_URL: Final = re.compile(
    r"(?P<tls>rediss?)(\+(?P<kind>sentinel|cluster))?://"
    r"((?P<login>[^/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?"
)
_HOST: Final = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]]+))(:(?P<port>\d{1,5}))?")
_ENCODE: Final = "percent-encode special characters of user and password"


@dataclass(frozen=True, kw_only=True)
class Finder:
    """Whom to ask where the master is.

    Attributes:
        kind: Sentinels, or nodes of a Redis Cluster.
        hosts: Their addresses.
        name: Name of the master that the Sentinels watch.
        username: User at the Sentinels; at the nodes of a Cluster it is the target's own.
        password: Its password.
    """

    kind: Literal["sentinel", "cluster"]
    hosts: tuple[tuple[str, int], ...]
    name: str = ""
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One Redis or Valkey server, or (before `locate`) the way to it.

    Attributes:
        host: Empty until `locate` has found the master.
        finder: Who names the master; None: the URL itself does.
        ca_file: Certificate authorities that sign the certificates; None: those of the system.
    """

    host: str
    port: int = 6379
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: Path | None = None
    finder: Finder | None = None

    def __str__(self) -> str:
        """For people: without user and password."""
        scheme = "rediss" if self.tls else "redis"
        if self.host or self.finder is None:
            return f"{scheme}://{address(self.host, self.port)}/{self.database}"
        hosts = ",".join(address(host, port) for host, port in self.finder.hosts)
        return f"{scheme}+{self.finder.kind}://{hosts}/{self.finder.name}".rstrip("/")


def address(host: str, port: int) -> str:
    """`host:port`, also for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_target(url: str, *, ca_file: Path | None) -> Target:
    """The parts of a URL.

    Raises:
        StoreError: it cannot be used (InvalidConfiguration).
    """
    parts = _URL.fullmatch(url.strip())
    if not parts:
        if not url.strip().startswith(("redis:", "rediss:", "redis+", "rediss+")):
            raise _invalid("the Redis URL must begin with redis:// or rediss:// (TLS)", "")
        raise _invalid(f"the Redis URL cannot be read ({_ENCODE})", _kind_of(url))
    kind = parts["kind"] or ""
    username, _, password = (parts["login"] or "").partition(":")
    hosts = _hosts(parts["hosts"], kind)
    name, database = _path(parts["path"] or "", kind)
    options = _options(parts["query"], kind)
    direct = not kind
    return Target(
        host=hosts[0][0] if direct else "",
        port=hosts[0][1] if direct else 0,
        database=database,
        username=unquote(username),
        password=unquote(password),
        tls=parts["tls"] == "rediss",
        ca_file=ca_file,
        finder=None if direct else _finder(kind, hosts, name, options),
    )


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """The TLS settings for a CA file: one object for all links (849 kB each otherwise).

    Raises:
        StoreError: the CA file cannot be read.
    """
    try:
        stamp = ca_file.stat().st_mtime_ns if ca_file else 0
        return _tls_context(ca_file, stamp)
    except (OSError, ssl.SSLError) as e:
        message = (
            f"the certificate authority of Redis (key ca.crt of the Redis Secret) cannot be read: {e}; "
            "it must hold certificates in PEM form"
        )
        raise StoreError("InvalidConfiguration", message, pace=Pace.CONFIGURATION) from e


@lru_cache(maxsize=8)
def _tls_context(ca_file: Path | None, stamp: int) -> ssl.SSLContext:
    del stamp  # only tells a replaced file from the one that was read before
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def _kind_of(url: str) -> str:
    return next((kind for kind in ("sentinel", "cluster") if url.partition(":")[0].endswith(kind)), "")


def _hosts(text: str, kind: str) -> tuple[tuple[str, int], ...]:
    hosts = []
    for one in text.split(","):
        if not one:
            raise _invalid("the Redis URL names no host (or has a comma too many)", kind)
        match = _HOST.fullmatch(one)
        port = int((match and match["port"]) or (26379 if kind == "sentinel" else 6379))
        if not match or not 0 < port < 65536:
            # The text may hold a piece of the password.
            raise _invalid(f"a host or port in the Redis URL cannot be read ({_ENCODE})", kind)
        hosts.append((match["v6"] or match["name"], port))
    if len(hosts) > 1 and not kind:
        others = f"with Sentinel it is {_FORMS['sentinel']}, with Cluster {_FORMS['cluster']}"
        raise _invalid(f"the Redis URL names several servers, and redis:// takes one ({others})", kind)
    return tuple(hosts)


def _path(path: str, kind: str) -> tuple[str, int]:
    """Name of the master (Sentinel) and number of the database."""
    pieces = [unquote(piece) for piece in path.strip("/").split("/")] if path.strip("/") else []
    name = ""
    if kind == "sentinel":
        if not pieces:
            raise _invalid("the Redis URL does not say which master the Sentinels watch", kind)
        name = pieces.pop(0)
    database = pieces.pop(0) if pieces else "0"
    if pieces or not database.isascii() or not database.isdigit():
        raise _invalid("the database in the Redis URL must be a number", kind)
    if kind == "cluster" and int(database):
        raise _invalid("a Redis Cluster has only database 0", kind)
    return name, int(database)


def _options(query: str | None, kind: str) -> dict[str, str]:
    options = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if kind != "sentinel" or name not in ("sentinel_username", "sentinel_password"):
            understood = "sentinel_username and sentinel_password" if kind == "sentinel" else "none"
            raise _invalid(f"an option after ? in the Redis URL is not understood (understood: {understood})", kind)
        options[name] = unquote(value)
    return options


def _finder(kind: str, hosts: tuple[tuple[str, int], ...], name: str, options: dict[str, str]) -> Finder:
    return Finder(
        kind="sentinel" if kind == "sentinel" else "cluster",
        hosts=hosts,
        name=name,
        username=options.get("sentinel_username", ""),
        password=options.get("sentinel_password", ""),
    )


def _invalid(problem: str, kind: str) -> StoreError:
    message = f"{problem}; write it as {_FORMS[kind]}, or with rediss for TLS"
    return StoreError("InvalidConfiguration", message, pace=Pace.CONFIGURATION)
