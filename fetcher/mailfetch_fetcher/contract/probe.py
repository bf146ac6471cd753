"""What a probe Job found: the termination message of its container, JSON of at most 4,096 bytes."""

from typing import Literal

import msgspec

from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.contract.struct import Struct

LIMIT = 4096
"""Bytes: of a longer message Kubernetes keeps only the tail."""

PATH = "/dev/termination-log"

StepName = Literal["dns", "tcp", "tls", "capability", "login", "folder", "permission"]


class Step(Struct, frozen=True, kw_only=True):
    """One step of the test, in the order of `StepName`; a failed one says what to change."""

    name: StepName
    ok: bool
    detail: str = ""
    milliseconds: int = 0


class Estimate(Struct, frozen=True, kw_only=True):
    """How many mails an enabled connection would download now."""

    new_messages: int
    total_messages: int
    unseen_messages: int = 0
    mailbox: Literal["New", "Known"] = "New"
    accuracy: Literal["Exact", "Fair", "Low", "VeryLow"] = "Exact"
    confidence: Literal["High", "Medium", "Low"] = "High"
    method: str = ""
    notes: tuple[str, ...] = ()


class StoreState(Struct, frozen=True, kw_only=True):
    """What Redis holds of this connection.

    Attributes:
        state_id: Empty if there is no state.
        same_mailbox: Its identity is the assignment's, or it was recognised as the same mailbox at another address.
        moved: Recognised so.
        gate_epoch: The epoch under which it was created.
    """

    state_id: str = ""
    same_mailbox: bool = True
    moved: bool = False
    gate_epoch: int = 0


class ProbeResult(Struct, frozen=True, kw_only=True):
    """The outcome. `estimate` and `state` are absent if the probe did not get that far."""

    uid: str
    fingerprint: str
    time: str
    steps: tuple[Step, ...] = ()
    problem: Problem | None = None
    estimate: Estimate | None = None
    state: StoreState | None = None
    uid_validity: str = ""


def encode(result: ProbeResult) -> bytes:
    """JSON within `LIMIT`: details are shortened, notes dropped from the end, until it fits."""
    text = msgspec.json.encode(result)
    width = 400
    while len(text) > LIMIT and width >= 20:
        width //= 2
        result = _shortened(result, width)
        text = msgspec.json.encode(result)
    return text


def _shortened(result: ProbeResult, width: int) -> ProbeResult:
    replace = msgspec.structs.replace
    steps = tuple(replace(s, detail=_cut(s.detail, width)) for s in result.steps)
    problem = result.problem and replace(result.problem, message=_cut(result.problem.message, 2 * width))
    estimate = result.estimate and replace(
        result.estimate, notes=tuple(_cut(n, width) for n in result.estimate.notes[: width // 25])
    )
    return replace(result, steps=steps, problem=problem, estimate=estimate)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def decode(text: str | bytes) -> ProbeResult:
    """Reads a termination message.

    Raises:
        ValueError: the text is not a result (for example because the container was killed).
    """
    try:
        return msgspec.json.decode(text, type=ProbeResult)
    except msgspec.DecodeError as e:
        raise ValueError(f"probe result: {e}") from e
