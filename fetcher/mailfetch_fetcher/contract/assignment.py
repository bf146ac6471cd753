"""What a fetcher is to do: `assignments.json`, written by the operator into a ConfigMap, re-read live."""

import hashlib

import msgspec

from mailfetch_fetcher.contract.spec import Spec
from mailfetch_fetcher.contract.struct import Struct

FILE_NAME = "assignments.json"


class Assignment(Struct, frozen=True, kw_only=True):
    """One connection that may be downloaded (its gate is open) or probed.

    Attributes:
        namespace: Namespace of the MailConnection.
        name: Name of the MailConnection.
        uid: UID of the object; another UID under the same name is another object.
        generation: `metadata.generation` this was made from; echoed in reports.
        spec: The spec, as in the manifest.
        identity: `identity.mailbox_identity(spec)`.
        gate_epoch: `status.approval.epoch` under which the gate opened; written into the state by
            `create`. A state whose identity differs may be put aside (`…:prev`) only if this is greater than its own
            and `state_id` is empty: otherwise it goes on if it is recognised as this mailbox's, or not at all.
        state_id: The state that the operator has seen in a report, or empty. Empty allows `create`;
            otherwise an absent state, or one with another id, is StateLost.
        seq: The highest `seq` that the operator has seen, for noticing a store that went back.
        requests: Value of each request annotation (`fetch`, `refetch`, …), to be done once per value.
    """

    namespace: str
    name: str
    spec: Spec
    identity: str
    uid: str = ""
    generation: int = 0
    gate_epoch: int = 1
    state_id: str = ""
    seq: int = 0
    requests: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def stream(self) -> str:
        """The stream's name; absent in the spec it is the connection's."""
        return self.spec.queue.stream or self.name

    @property
    def folder(self) -> str:
        """The folder; absent in the spec it is INBOX."""
        return self.spec.folder or "INBOX"


class Assignments(Struct, frozen=True, kw_only=True):
    """All connections of one fetcher.

    Attributes:
        cluster_id: UID of the kube-system namespace or a chart value; two clusters on one Redis never mix.
        connections: At most 200, ordered by name.
    """

    cluster_id: str
    connections: tuple[Assignment, ...] = ()


def encode(assignments: Assignments) -> str:
    """JSON with a stable order of fields, so that equal content is equal text."""
    return msgspec.json.encode(assignments, order="deterministic").decode()


def decode(text: str | bytes) -> Assignments:
    """Reads `assignments.json`.

    Raises:
        ValueError: the text is not what `encode` writes.
    """
    try:
        return msgspec.json.decode(text, type=Assignments)
    except msgspec.DecodeError as e:
        raise ValueError(f"{FILE_NAME}: {e}") from e


def fingerprint(assignment: Assignment) -> str:
    """A short hash of what decides how the connection runs; echoed in reports and probe results.

    It leaves out what may change without the session having to start anew: `state_id`, `seq`, `requests`, `generation`.
    """
    core = msgspec.structs.replace(assignment, state_id="", seq=0, requests={}, generation=0)
    return hashlib.sha256(msgspec.json.encode(core, order="deterministic")).hexdigest()[:16]
