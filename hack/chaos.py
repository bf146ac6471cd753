#!/usr/bin/env python3
"""Runs every fault case and writes what came of them into docs/guarantees.md: `make chaos`.

Several pytest processes share the cases. A line is printed as each case ends; all of it can be repeated with the seed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/guarantees.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
SERVERS = {
    "imap": "IMAP",
    "imap-old": "IMAP without MOVE",
    "pop3": "POP3",
    "graph": "Graph",
    "graph-untidy": "Graph, untidy",
}
STORES = {"valkey9": "Valkey 9", "redis7": "Redis 7.0", "sentinel": "Sentinel"}
ACTIONS = ("None", "MarkSeen", "Delete", "Move")
ORDER = "cbirpgsf"
"""Initials of the points: common, blobs, IMAP, resets, POP3, Graph, start, asked for again."""
WRONG = ("lost", "doubled", "early")

Result = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=int(os.environ.get("MAILFETCH_CHAOS_WORKERS") or 3))
    parser.add_argument("--results", type=Path, help="only make the table from these results (a file of JSON lines)")
    args = parser.parse_args()
    seed = os.environ.get("MAILFETCH_SEED") or str(random.randrange(10**6))
    if args.results:
        PAGE.write_text(page(PAGE.read_text(), read(args.results), seed=seed))
        return 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        return run(args.workers, seed, Path(directory))


def run(workers: int, seed: str, directory: Path) -> int:
    """The whole run; 0 if every case went well."""
    results, began = directory / "results", time.monotonic()
    results.touch()
    wanted = count()
    print(f"{wanted} cases, {workers} side by side; MAILFETCH_SEED={seed}", flush=True)
    running = [start(part, workers, seed, directory) for part in range(1, workers + 1)]
    try:
        shown = 0
        while any(process.poll() is None for process in running):
            time.sleep(1)
            shown = show(results, shown, wanted)
        found = read(results)
        show(results, shown, wanted)
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
    bad = [one for one in found if not good(one)]
    codes = [process.returncode for process in running]
    print(f"\n{len(found)} of {wanted} cases in {(time.monotonic() - began) / 60:.0f} minutes: {told(found)}")
    if bad or len(found) != wanted or any(codes):
        for part in range(1, workers + 1):
            print((directory / f"output-{part}").read_text()[-20_000:])
        for one in bad:
            print(f"FAILED {line(one)}")
        print(f"make chaos: FAILED; repeat with MAILFETCH_SEED={seed}. {PAGE.name} stays as it was.")
        return 1
    PAGE.write_text(page(PAGE.read_text(), found, seed=seed))
    print(f"make chaos: every case went well; the table is in {PAGE.relative_to(ROOT)}")
    return 0


def start(part: int, parts: int, seed: str, directory: Path) -> "subprocess.Popen[bytes]":
    """One worker."""
    variables = {
        "MAILFETCH_SEED": seed,
        "MAILFETCH_CHAOS": "all",
        "MAILFETCH_CHAOS_PART": f"{part}/{parts}",
        "MAILFETCH_CHAOS_RESULTS": str(directory / "results"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/chaos/test_points.py"]
    with (directory / f"output-{part}").open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env=os.environ | variables, start_new_session=True
        )


def count() -> int:
    """How many cases there are."""
    sys.path.insert(0, str(ROOT))
    from tests.chaos import cases

    return len(cases.every())


def show(results: Path, shown: int, wanted: int) -> int:
    """Prints the cases that ended since; returns how many were printed in all."""
    for one in read(results)[shown:]:
        shown += 1
        print(f"[{shown}/{wanted}] {line(one)}", flush=True)
    return shown


def read(results: Path) -> list[Result]:
    """The whole lines of the file."""
    return [json.loads(text) for text in results.read_text().splitlines(keepends=True) if text.endswith("\n")]


def line(one: Result) -> str:
    """One case in one line."""
    where = f"{SERVERS[one['server']]}, {one['action']}, {STORES[one['store']]}"
    verdict = "ok" if good(one) else f"{told([one])} {'; '.join(one['notes'])[:500]}"
    return f"{where}: {one['point']} {one['what']}, {one['fault']}: {verdict} ({one['seconds']} s)"


def good(one: Result) -> bool:
    return not any(one[name] for name in WRONG) and not one["notes"]


def told(found: Iterable[Result]) -> str:
    """The sums in words."""
    sums = Counter[str]()
    for one in found:
        sums.update({name: one[name] for name in WRONG})
    return f"{sums['lost']} lost, {sums['doubled']} doubled, {sums['early']} touched before durable"


# -- the table ------------------------------------------------------------------------------


def page(text: str, found: Sequence[Result], *, seed: str) -> str:
    """The page with the tables between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{tables(found, seed=seed)}\n{END}{after}"


def tables(found: Sequence[Result], *, seed: str) -> str:
    """What was tried, by point and by fault."""
    head = (
        f"{len(found)} cases (seed {seed}), each with its own mailbox: **{told(found)}**. A case stops the run at a "
        "point, by what passes between the fetcher and its two servers, and lets the fault happen there; a point that "
        "is not reached fails the case. *Touched early* comes from the recorded order of the writes and fsyncs of "
        "Redis and the commands to the mail server."
    )
    points = [[one for one in found if one["point"] == point] for point in distinct(found, "point")]
    faults = {fault: [one for one in found if one["fault"] == fault] for fault in meanings()}
    by_point = table(
        ("Point", "What has happened", "Protocols", "Actions", "Stores", "Faults"),
        (
            (
                rows[0]["point"],
                "; ".join(distinct(rows, "what")),
                named(rows, "server", SERVERS),
                ", ".join(name for name in ACTIONS if name in distinct(rows, "action")),
                named(rows, "store", STORES),
                str(len(distinct(rows, "fault"))),
                *sums(rows),
            )
            for rows in sorted(points, key=lambda rows: natural(rows[0]["point"]))
        ),
    )
    by_fault = table(
        ("Fault", "What happens", "Points", "Protocols", "Stores"),
        (
            (
                fault,
                meanings()[fault],
                str(len(distinct(rows, "what"))),
                named(rows, "server", SERVERS),
                named(rows, "store", STORES),
                *sums(rows),
            )
            for fault, rows in faults.items()
            if rows
        ),
    )
    return f"\n{head}\n\n{by_point}\n\n{by_fault}\n"


def meanings() -> dict[str, str]:
    """What each fault is, as its function says."""
    sys.path.insert(0, str(ROOT))
    from tests.chaos.faultlist import STRIKES

    functions = {name: getattr(strike, "func", strike) for name, strike in STRIKES.items()}
    return {name: (function.__doc__ or "").strip().splitlines()[0] for name, function in functions.items()}


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every row ends with the four numbers."""
    titles = (*titles, "Cases", "Lost", "Doubled", "Touched early")
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def sums(rows: Sequence[Result]) -> tuple[str, ...]:
    return (str(len(rows)), *(str(sum(one[name] for one in rows)) for name in WRONG))


def distinct(rows: Iterable[Result], field: str) -> list[str]:
    return sorted({one[field] for one in rows})


def named(rows: Sequence[Result], field: str, names: dict[str, str]) -> str:
    values = set(distinct(rows, field))
    return "all" if values == names.keys() else ", ".join(name for key, name in names.items() if key in values)


def natural(name: str) -> tuple[int, int]:
    """`c10` behind `c9`; the common points first."""
    return (ORDER.find(name[0]), int(name[1:]))


if __name__ == "__main__":
    sys.exit(main())
