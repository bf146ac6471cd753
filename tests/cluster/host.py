"""The traces that a node leaves on its host: a network interface, control groups, processes. All are recorded in the
state folder, so that remove() can take them away, also after a crash."""

import contextlib
import ipaddress
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.node_config import SLOTS, Slot
from tests.cluster.processes import run

REMOVE_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process number with the time at which the process started, because numbers are used again."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        return cls(pid=pid, started=_stat(pid)[19])

    def is_alive(self) -> bool:
        try:
            stat = _stat(self.pid)
        except (OSError, IndexError):
            return False
        return stat[19] == self.started and stat[0] != "Z"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What remove() must know. `owner` is the test runner that the node belongs to, if it does not stand by itself."""

    slot: Slot
    owner: ProcessId | None
    init: ProcessId | None = None

    def save(self, state: Path) -> None:
        new = state / "node.json.new"
        new.write_text(json.dumps(asdict(self)))
        new.rename(state / "node.json")

    @classmethod
    def load(cls, state: Path) -> "Record | None":
        try:
            data = json.loads((state / "node.json").read_text())
        except FileNotFoundError:
            return None
        processes = {key: ProcessId(**data[key]) if data[key] else None for key in ("owner", "init")}
        return cls(slot=Slot(**data["slot"]), **processes)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; the first is the state, the 20th the start time."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def claim_slot() -> Slot:
    """Picks addresses that are free on this machine and takes them, by making the interface with the slot's name."""
    routes = host_routes()
    for slot in map(lambda number: Slot(number=number), range(SLOTS)):
        if not slot.is_free(routes):
            continue
        made = run(["ip", "link", "add", slot.interface, "type", "veth", "peer", "name", slot.peer], check=False)
        if made.returncode == 0:
            return slot
        if "File exists" not in made.stderr:
            raise RuntimeError(f"the network interface {slot.interface} cannot be made: {made.stderr.strip()}")
    raise RuntimeError(
        "no free network for another node: all of 10.250.0-15.0/24, 10.244.0-15.0/24 and 10.96.0.0/16 are in use "
        "on this machine (`ip route`). Stop other nodes, or name a cluster with KUBECONFIG and MAILFETCH_TEST_CONTEXT."
    )


def host_routes() -> list[ipaddress.IPv4Network]:
    """The networks that this machine has routes to, except the default route."""
    routes = json.loads(run(["ip", "-4", "-json", "route", "show"]).stdout)
    return [ipaddress.IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def connect(slot: Slot, init_pid: int) -> None:
    """Joins host and node by the interface of the slot, and routes pods and services through the node."""
    run(["ip", "link", "set", slot.peer, "netns", str(init_pid), "name", "eth0"])
    run(["ip", "address", "add", f"{slot.host_ip}/24", "dev", slot.interface])
    run(["ip", "link", "set", slot.interface, "up"])
    for network in (slot.pods, slot.services):
        run(["ip", "route", "add", str(network), "via", slot.node_ip])


def cgroup_hierarchies() -> list[Path]:
    """Where control groups are mounted: many places with version 1, one with version 2."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(mount[1]) for mount in mounts if mount[2] in ("cgroup", "cgroup2")]


def make_cgroups(slot: Slot) -> None:
    """Makes the parent of the pods' control groups in every hierarchy."""
    for hierarchy in cgroup_hierarchies():
        group = hierarchy / slot.cgroup
        group.mkdir(exist_ok=True)
        # Version 1: a new cpuset is empty and would take no process.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / "cpuset.memory_migrate").exists():
                (group / name).write_text((hierarchy / name).read_text())
        # Version 2: the kubelet needs these controllers in the group.
        controllers = hierarchy / "cgroup.controllers"
        if controllers.exists() and "memory" in controllers.read_text():
            (hierarchy / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")


def remove(state: Path) -> None:
    """Ends a node and takes all its traces away from the host, in whatever state it is; keeps the state folder."""
    record = Record.load(state)
    if record is None:
        return
    init = record.init or _init_of(state)
    if init is not None:
        with contextlib.suppress(ProcessLookupError):
            if init.is_alive():
                os.kill(init.pid, signal.SIGKILL)
        _wait_until_gone(init)
    run(["ip", "link", "delete", record.slot.interface], check=False)
    for hierarchy in cgroup_hierarchies():
        _remove_cgroup(hierarchy / record.slot.cgroup)
    for name in ("init.pid", "node.json"):
        (state / name).unlink(missing_ok=True)


def _init_of(state: Path) -> ProcessId | None:
    """The node's process 1 when the starter crashed before it recorded it."""
    try:
        return ProcessId.of(int((state / "init.pid").read_text()))
    except (OSError, IndexError):
        return None


def _wait_until_gone(process: ProcessId) -> None:
    # The kernel lets process 1 of a namespace end only after all others of the namespace.
    deadline = time.monotonic() + REMOVE_SECONDS
    while process.is_alive():
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {process.pid} of the node does not end")
        time.sleep(0.02)


def _remove_cgroup(group: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            # Busy for a moment after its last process; gone if somebody else removes it, too.
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if group.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the control group {group} cannot be removed: see its cgroup.procs")
            time.sleep(0.05)
