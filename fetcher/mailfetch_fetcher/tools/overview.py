"""What is known of a whole queue without touching its entries: groups, marks and what is pending."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mailfetch_fetcher.contract.tools import DELIVERIES, STATES
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.groups import SENTINEL
from mailfetch_fetcher.tools.model import GroupView, State, parse_id
from mailfetch_fetcher.tools.opened import LINES, Opened, text
from mailfetch_fetcher.tools.states import behind, marked_state


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A queue at about one moment.

    Attributes:
        length: Entries.
        connections: Its connections.
        named: The groups that specs name.
        groups: All groups.
        marks: Marked entries.
        pending: Entries that some consumer holds, with their deliveries.
    """

    length: int
    connections: tuple[str, ...]
    named: tuple[str, ...]
    groups: dict[str, GroupView]
    marks: dict[str, State]
    pending: dict[str, int]

    def noted(self) -> list[str]:
        """Entries that are marked or pending, newest first."""
        return sorted(self.marks.keys() | self.pending.keys(), key=parse_id, reverse=True)

    def counts(self) -> dict[str, int] | None:
        """Mails by state; None if only a walk through all entries can tell."""
        counts = dict.fromkeys(STATES, 0)
        for state in self.marks.values():
            counts[state] += 1
        held = {entry: deliveries for entry, deliveries in self.pending.items() if entry not in self.marks}
        for deliveries in held.values():
            counts["Failed" if deliveries > DELIVERIES else "Processing"] += 1
        last = behind(self.groups, self.named)
        if last is None:
            missing = self.length  # nobody has got anything, or one of the groups has not
            bound = (0, 0)
        elif last.lag is None:
            return None
        else:
            missing, bound = last.lag, parse_id(last.last)
        counts["New"] = max(missing - sum(parse_id(entry) > bound for entry in self.noted()), 0)
        counts["Done"] = max(self.length - sum(counts.values()), 0)
        return counts


def read_overview(opened: Opened) -> Overview:
    """Looks.

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    keys = opened.keys
    connections = opened.connections()
    _, groups, _ = opened.run(scripts.LOOK, keys=[keys.queue, keys.marks], args=[SENTINEL, "ids"])
    views = groups_of(groups)
    oldest = opened.call("XRANGE", keys.queue, "-", "+", "COUNT", 1)
    first = parse_id(text(oldest[0][0])) if oldest else (1 << 64, 0)
    marks, pending = (
        _read_marks(opened),
        _read_pending(opened, [group.name for group in views.values() if group.pending]),
    )
    return Overview(
        length=int(opened.call("XLEN", keys.queue)),
        connections=tuple(sorted(connections)),
        named=named_groups(connections),
        groups=views,
        marks={entry: state for entry, state in marks.items() if parse_id(entry) >= first},  # others left the queue
        pending={entry: deliveries for entry, deliveries in pending.items() if parse_id(entry) >= first},
    )


def groups_of(reply: list[list[bytes | int]]) -> dict[str, GroupView]:
    """The groups in the reply of `look.lua`."""
    found = {}
    for name, last, lag, pending, consumers in reply:
        assert isinstance(name, bytes)
        assert isinstance(last, bytes)
        found[text(name)] = GroupView(
            name=text(name),
            last=text(last),
            lag=int(lag) if lag else None,
            pending=int(pending),
            consumers=int(consumers),
        )
    return found


def named_groups(connections: Mapping[str, bytes]) -> tuple[str, ...]:
    """The groups that the specs of these connections name."""
    names: set[str] = set()
    for groups in connections.values():
        try:
            names.update(str(name) for name in json.loads(groups))
        except (ValueError, TypeError):
            continue  # of a version that writes it in another way: nothing here depends on it
    return tuple(sorted(names))


def _read_marks(opened: Opened) -> dict[str, State]:
    marks: dict[str, State] = {}
    cursor = b"0"
    while True:
        cursor, flat = opened.call("HSCAN", opened.keys.marks, cursor, "COUNT", LINES)
        marks.update({text(e): marked_state(text(m)) for e, m in zip(flat[::2], flat[1::2], strict=True)})
        if cursor == b"0":
            return marks


def _read_pending(opened: Opened, groups: list[str]) -> dict[str, int]:
    pending: dict[str, int] = {}
    for group in groups:
        start = "-"
        while start:
            found = opened.call("XPENDING", opened.keys.queue, group, start, "+", LINES)
            for entry, _, _, deliveries in found:
                pending[text(entry)] = max(pending.get(text(entry), 0), deliveries)
            start = f"({text(found[-1][0])}" if len(found) == LINES else ""
    return pending
