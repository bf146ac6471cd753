"""The state machine's first step: which state is there, and may this session go on with it?"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mailfetch_fetcher.contract.keys import BUCKETS, ConnectionKeys
from mailfetch_fetcher.errors import GateClosed, Pace, StoreError
from mailfetch_fetcher.store.model import BASELINE, PURGING, RESET, STEADY, State

FORMAT = 1
"""Layout of all keys of a connection; a newer one must not be touched by an older program."""

Step = Literal["create", "replace", "take"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a session wants to open (see `contract/assignment.py`).

    Attributes:
        baseline: A new state begins in phase Baseline.
        adopts: Id of the state that goes on although its identity is another: it was proven to be the same mailbox.
    """

    identity: str
    cluster_id: str
    gate_epoch: int
    create: bool
    state_id: str
    known_seq: int
    baseline: bool = False
    adopts: str = ""


def fields_of(reply: Sequence[bytes]) -> dict[str, str]:
    """The hash behind a reply of names and values in turn."""
    texts = [item.decode() for item in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def decode_state(fields: Mapping[str, str], *, messages: int = 0) -> State | None:
    """The state behind the fields of its hash; None if there is none.

    Raises:
        StoreError: it cannot be read (StoreUnsafe).
    """
    if not fields:
        return None
    try:
        if int(fields.get("format", "0")) > FORMAT:
            raise StoreError(
                "StoreUnsafe",
                f"the state in Redis was written by a newer version of Mailfetch (format {fields['format']}, "
                f"this one knows {FORMAT}): run the newer version",
                pace=Pace.CONFIGURATION,
            )
        return State(
            state_id=fields["stateId"],
            identity=fields["identity"],
            cluster_id=fields["clusterId"],
            gate_epoch=int(fields["gateEpoch"]),
            epoch=int(fields["epoch"]),
            seq=int(fields["seq"]),
            cursor=fields["cursor"],
            anchor=fields["anchor"],
            hash_key=bytes.fromhex(fields["hashKey"]),
            messages=messages,
            phase=fields.get("phase", STEADY),
            refetch=fields.get("refetch", ""),
            group_seen=fields.get("groupSeen", ""),
        )
    except (KeyError, ValueError) as e:
        raise StoreError(
            "StoreUnsafe",
            f"the state in Redis is damaged (field {e}); nothing is touched. Restore Redis from a backup, or remove "
            "the state and approve the connection again",
            pace=Pace.CONFIGURATION,
        ) from None


def decide(state: State | None, wish: Wish) -> Step:
    """What opening means for what is there. Nothing was written yet.

    Raises:
        GateClosed: people must approve first.
        StoreError: the state belongs to another cluster.
    """
    if state is None:
        if wish.create:
            return "create"
        raise _lost("the state of this mailbox is no longer in Redis; going on would download every mail again")
    _check_cluster(state, wish)
    if state.phase == PURGING:
        if wish.create:
            return "replace"
        raise _lost(
            "the state of this mailbox was being removed (deletionPolicy: Purge) and that did not come to its end; "
            "going on would download every mail again"
        )
    if state.identity != wish.identity and state.state_id != wish.adopts:
        if wish.state_id:  # people approved going on with a state, not putting one aside
            raise GateClosed(
                "IdentityChanged",
                "the mailbox at the new address cannot be recognised as the one whose state is in Redis, so that state "
                "would be put aside and every mail downloaded",
            )
        if wish.gate_epoch > state.gate_epoch:
            return "replace"
        raise GateClosed(
            "IdentityChanged",
            "the connection points to another mailbox than the one whose state is in Redis; every mail of the new "
            f"one would be downloaded (the state was approved at epoch {state.gate_epoch})",
        )
    if wish.state_id and wish.state_id != state.state_id and not wish.create:
        raise _lost(
            f"the state in Redis ({state.state_id}) is not the one that was seen before ({wish.state_id}): Redis was "
            "replaced or restored; going on could download mails again"
        )
    return "take"


def _check_cluster(state: State, wish: Wish) -> None:
    if state.cluster_id != wish.cluster_id:
        raise StoreError(
            "InvalidConfiguration",
            f"the state in Redis belongs to another cluster ({state.cluster_id}, this one is {wish.cluster_id}): two "
            "clusters need a Redis, or a database of it, of their own, or another namespace, stream or name",
            pace=Pace.CONFIGURATION,
        )


def _lost(message: str) -> GateClosed:
    return GateClosed("StateLost", message)


def went_back(state: State, wish: Wish) -> int:
    """By how many transitions the store lies behind what was seen before; `state` as it was before it was taken."""
    return max(0, wish.known_seq - state.seq) if wish.state_id == state.state_id else 0


def is_reset_approved(state: State, wish: Wish) -> bool:
    """People approved anew after a reset began; `state` as it is after it was taken."""
    return state.phase.startswith(RESET) and wish.gate_epoch > state.gate_epoch


def new_state(wish: Wish, *, created: str) -> list[Any]:
    """Fields and values of a new state."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "stateId": secrets.token_hex(8),
        "clusterId": wish.cluster_id,
        "identity": wish.identity,
        "gateEpoch": wish.gate_epoch,
        "owner": "",
        "epoch": 0,
        "seq": 0,
        "tip": secrets.token_hex(8),
        "phase": BASELINE if wish.baseline else STEADY,
        "cursor": "",
        "anchor": "",
        "hashKey": secrets.token_hex(16),
        "refetch": "",
        "groupSeen": "",
        "created": created,
    }
    return [item for pair in fields.items() for item in pair]


def aside_pairs(keys: ConnectionKeys) -> list[str]:
    """Keys that belong to one state, each followed by the key where it is put aside."""
    pairs = [keys.state, keys.prev]
    owned = [keys.outbox, keys.quarantine, keys.gone, keys.returns, *(keys.known(bucket) for bucket in range(BUCKETS))]
    for key in owned:
        pairs += (key, keys.prev + key.removeprefix(keys.prefix))
    return pairs
