"""Names of the Redis keys. All keys of a stream share one hash tag, so they live in one Cluster slot."""

from dataclasses import dataclass

BUCKETS = 1024
"""Ledger buckets per connection: intsets up to half a million known mails."""


@dataclass(frozen=True, kw_only=True)
class StreamKeys:
    """Keys of one stream (several connections of a namespace may share it)."""

    namespace: str
    stream: str

    @property
    def prefix(self) -> str:
        """The common prefix, with the hash tag."""
        return f"mail:{{{self.namespace}/{self.stream}}}"

    @property
    def queue(self) -> str:
        """Stream: one entry per mail."""
        return f"{self.prefix}:queue"

    @property
    def log(self) -> str:
        """Stream: the Incoming Mail Log."""
        return f"{self.prefix}:log"

    @property
    def blobs(self) -> str:
        """Hash: blob id → entry id."""
        return f"{self.prefix}:blobs"

    @property
    def marks(self) -> str:
        """Hash: entry id → JSON: which consumer groups put the mail aside, and why."""
        return f"{self.prefix}:marks"

    @property
    def connections(self) -> str:
        """Hash: connection → JSON list of its named consumer groups, written whenever a session opens."""
        return f"{self.prefix}:connections"

    @property
    def groups(self) -> str:
        """Hash: named consumer group → JSON: from which entry on its acknowledgements prove anything."""
        return f"{self.prefix}:groups"

    def blob(self, blob_id: str) -> str:
        """String: a body that is too large for an entry."""
        return f"{self.prefix}:blob:{blob_id}"

    def requeued(self, name: str) -> str:
        """String with a TTL: the entry of a copy, by the copy's id or the old entry; recognises repeated requests."""
        return f"{self.prefix}:requeued:{name}"

    def connection(self, name: str) -> "ConnectionKeys":
        """The keys of one connection on this stream."""
        return ConnectionKeys(stream=self, name=name)


@dataclass(frozen=True, kw_only=True)
class ConnectionKeys:
    """Keys of one connection."""

    stream: StreamKeys
    name: str

    @property
    def prefix(self) -> str:
        """The common prefix."""
        return f"{self.stream.prefix}:conn:{self.name}"

    @property
    def state(self) -> str:
        """Hash: the state machine."""
        return f"{self.prefix}:state"

    @property
    def lease(self) -> str:
        """String with a TTL: who may write."""
        return f"{self.prefix}:lease"

    @property
    def outbox(self) -> str:
        """Sorted set: pending after-download actions, by order of commit."""
        return f"{self.prefix}:outbox"

    @property
    def stats(self) -> str:
        """Hash: lasting counters."""
        return f"{self.prefix}:stats"

    @property
    def barrier(self) -> str:
        """Integer: written so that a durability wait has a write of its own to wait for."""
        return f"{self.prefix}:barrier"

    @property
    def quarantine(self) -> str:
        """Hash: mails that cannot be fetched."""
        return f"{self.prefix}:quarantine"

    @property
    def prev(self) -> str:
        """Hash: the state of the mailbox that this name meant before."""
        return f"{self.prefix}:prev"

    @property
    def gone(self) -> str:
        """Hash: ledger number → `d` (deleted by us) or `<seconds>:<lists>` (absent since, in so many lists)."""
        return f"{self.prefix}:gone"

    @property
    def returns(self) -> str:
        """Hash: ledger bucket → how many names left it (`store.md` 39); part of the id of named mails."""
        return f"{self.prefix}:returns"

    @property
    def token(self) -> str:
        """String: the refresh token that replaced the one in the Secret, encrypted with a key made from the latter."""
        return f"{self.prefix}:token"

    def stage(self, bucket: int) -> str:
        """Set: one bucket of the ledger that is being made anew."""
        return f"{self.prefix}:stage:{bucket}"

    def swap(self, bucket: int) -> str:
        """Set: where a bucket stands while the staged one takes its place; never outside that script."""
        return f"{self.prefix}:swap:{bucket}"

    def known(self, bucket: int) -> str:
        """Set of signed 64-bit integers: one ledger bucket."""
        return f"{self.prefix}:known:{bucket}"
