"""What a machine must have to run a one-node Kubernetes, checked before anything is started."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

NEEDED_DISK = 5 << 30
NEEDED_MEMORY = 3 << 30
COMMANDS = ("bash", "containerd", "ctr", "ip", "iptables", "mount", "nsenter", "openssl", "runc", "unshare")
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("host-local", "loopback", "portmap", "ptp")
INSTALL = "run hack/deps.sh as root to install it"

# Does, in namespaces of its own, one of each thing that a node does.
TRIAL = """
mount -t tmpfs tmpfs /run || { echo "mount a file system"; exit 1; }
ip link add trial0 type veth peer name trial1 || { echo "make a network interface"; exit 1; }
iptables -w -t nat -L -n > /dev/null || { echo "use iptables"; exit 1; }
mkdir "$1/lower" "$1/upper" "$1/work" "$1/merged"
mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged" ||
  { echo "mount an overlay in $1 (choose another folder, on a plain file system)"; exit 1; }
"""


def preflight(state: Path | None = None) -> list[str]:
    """One message, with the remedy, for each thing that is missing; nothing if a node can run.

    `state` is the folder that the node would use; without it, a temporary one.
    """
    state = state or Path(tempfile.gettempdir())
    if os.geteuid() != 0:
        return ["A one-node Kubernetes needs root (it makes namespaces, mounts and network interfaces): use sudo."]
    problems = [*_programs(), *_resources(state), *_place(state)]
    # The trial would only repeat what is known to be missing.
    return problems or [*_cgroups(), *_trial(state)]


def cni_folder() -> Path:
    """The folder with the CNI plugins."""
    return next((folder for folder in CNI_FOLDERS if (folder / "ptp").exists()), CNI_FOLDERS[0])


def _programs() -> Iterator[str]:
    for command in COMMANDS:
        if shutil.which(command) is None:
            yield f"The program {command} is missing: {INSTALL}."
    for plugin in CNI_PLUGINS:
        if not (cni_folder() / plugin).exists():
            yield f"The CNI plugin {plugin} is missing in {cni_folder()}: {INSTALL} (containernetworking-plugins)."


def _resources(state: Path) -> Iterator[str]:
    free = shutil.disk_usage(_existing(state)).free
    if free < NEEDED_DISK:
        yield f"{_existing(state)} has {free / 2**30:.1f} GiB left, 5 GiB are needed: free some, or use another folder."
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) << 10
    if available < NEEDED_MEMORY:
        yield f"{available / 2**30:.1f} GiB of memory are available, 3 GiB are needed: end other programs."


def _place(state: Path) -> Iterator[str]:
    for hidden in (Path("/run"), Path("/var/lib"), Path("/var/log")):
        if state.resolve().is_relative_to(hidden):
            yield f"The node's state cannot be kept under {hidden}, which the node replaces: use another folder."


def _cgroups() -> Iterator[str]:
    groups = Path("/sys/fs/cgroup")
    for group in (groups / "memory", groups / "unified", groups):
        if (group / "memory.usage_in_bytes").exists() or _has_memory_controller(group):
            if not os.access(group, os.W_OK):
                yield f"{group} cannot be written to: in a container, start it privileged with writable control groups."
            return
    yield "There is no memory control group below /sys/fs/cgroup: mount control groups (version 1 or 2)."


def _has_memory_controller(group: Path) -> bool:
    controllers = group / "cgroup.controllers"
    return controllers.exists() and "memory" in controllers.read_text().split()


def _trial(state: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=_existing(state)) as folder:
        namespaces = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        result = subprocess.run(
            [*namespaces, "bash", "-c", TRIAL, "trial", folder], text=True, capture_output=True, check=False
        )
    if result.returncode != 0:
        what = result.stdout.strip() or "make namespaces"
        yield f"This system does not allow to {what}: {result.stderr.strip()}. In a container, start it privileged."


def _existing(path: Path) -> Path:
    """The path, or its closest parent that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
