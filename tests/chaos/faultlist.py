"""All faults by name, as they stand in the table of the guarantees."""

from functools import partial
from typing import Final

from tests.chaos import strikes, strikes_graph, strikes_line, strikes_store
from tests.chaos.strikes import Strike

STRIKES: Final[dict[str, Strike]] = {
    # The fetcher, and one connection of it.
    "kill": strikes.kill,
    "kill, other pod": strikes.kill_other_pod,
    "SIGTERM": strikes.term,
    "zombie": strikes.zombie,
    "two at once": strikes.twin,
    "lease lost": strikes.lease_expires,
    "cut": strikes.cut,
    "silence": strikes.silence,
    # The network, the mailbox.
    "slow lines": strikes_line.slow,
    "thin lines": strikes_line.throttled,
    "truncated": strikes_line.truncated,
    "black hole": strikes_line.mail_server_in_a_black_hole,
    "all refused": strikes_line.everything_refused,
    "removed by others": strikes_line.removed_by_others,
    "more mail": strikes_line.more_mail,
    "numbered again": strikes_line.numbered_again,
    # Microsoft.
    "link expired": strikes_graph.link_expires,
    "throttled": strikes_graph.throttled,
    "token refused": strikes_graph.token_refused,
    # Redis.
    "Redis killed": strikes_store.killed,
    "Redis frozen": strikes_store.frozen,
    "Redis read-only": strikes_store.read_only,
    "Redis full": strikes_store.full,
    "Redis flushed": strikes_store.flushed,
    "Redis restored": strikes_store.older_copy,
    "blob expired": strikes_store.blob_expires,
    "failover": strikes_store.failover,
    "late failover": strikes_store.failover_late,
    "master isolated": strikes_store.isolated,
    "master killed": strikes_store.master_killed,
    # Clocks.
    "Redis clock +1 h": strikes_store.clock_ahead,
    "Redis clock -1 h": strikes_store.clock_back,
    "fetcher clock +2 d": partial(strikes.clock_jumps, 2 * 86400),
    "fetcher clock -2 d": partial(strikes.clock_jumps, -2 * 86400),
}
