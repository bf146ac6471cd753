"""In which state is a mail of the queue? Pure decisions."""

import json
from collections.abc import Mapping, Sequence

from mailfetch_fetcher.contract.tools import DELIVERIES
from mailfetch_fetcher.tools.model import GroupView, Held, State, Verdict, parse_id, time_of


def judge(
    entry: str, *, mark: str, held: Sequence[Held], groups: Mapping[str, GroupView], named: Sequence[str]
) -> Verdict:
    """The state of a mail.

    Args:
        entry: Its entry.
        mark: What `:marks` holds of it; empty: nothing.
        held: The consumers that have got it and not acknowledged it.
        groups: The groups of the stream.
        named: The groups that specs name; without any, every group counts.
    """
    if mark:
        return _marked(mark)
    if held:
        most = max(held, key=lambda one: one.deliveries)
        state: State = "Failed" if most.deliveries > DELIVERIES else "Processing"
        reason = f"delivered {most.deliveries} times and never acknowledged" if state == "Failed" else ""
        return Verdict(
            state=state,
            reason=reason,
            group=most.group,
            consumer=most.consumer,
            deliveries=most.deliveries,
            idle=most.idle,
        )
    waits = waits_for(entry, groups=groups, named=named)
    if waits is None:
        return Verdict(state="Done")
    return Verdict(state="New", group=waits, reason=f"consumer group {waits} has not got it yet" if waits else "")


def waits_for(entry: str, *, groups: Mapping[str, GroupView], named: Sequence[str]) -> str | None:
    """The first group that has not got the entry yet; empty if there is no group at all; None: all have."""
    if not named and not groups:
        return ""
    for name in named or sorted(groups):
        if name not in groups or parse_id(entry) > parse_id(groups[name].last):
            return name
    return None


def behind(groups: Mapping[str, GroupView], named: Sequence[str]) -> GroupView | None:
    """The group that has got least; None if one is missing, or there is none."""
    names = named or sorted(groups)
    if not names or any(name not in groups for name in names):
        return None
    return min((groups[name] for name in names), key=lambda group: parse_id(group.last))


def marked_state(mark: str) -> State:
    """The state that a mark means; one that cannot be read is Failed: people must look."""
    return _marked(mark).state


def _marked(mark: str) -> Verdict:
    """What a mark says; of several groups the newest Failed, else the newest Filtered."""
    try:
        parts = [_part(group, fields) for group, fields in json.loads(mark).items()]
        return max(parts, key=lambda part: (part.state == "Failed", part.marked_at))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Verdict(state="Filtered" if mark == "Filtered" else "Failed", reason=mark[:998])


def _part(group: str, fields: Mapping[str, object]) -> Verdict:
    at = fields.get("at")
    return Verdict(
        state="Filtered" if fields.get("state") == "Filtered" else "Failed",
        reason=str(fields.get("why", "")),
        group=group,
        marked_at=time_of(int(at)) if isinstance(at, int | float) else "",
    )
