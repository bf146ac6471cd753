"""The story of `make demo`: the fetcher alone while Kubernetes compiles, then the whole on a real cluster."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from hack.demo import cluster as act
from hack.demo import first, screen
from tests.cluster.base import Cluster
from tests.cluster.foreign import CONTEXT, ForeignCluster
from tests.cluster.node import Node
from tests.cluster.preflight import preflight
from tests.cluster.processes import REPOSITORY
from tests.cluster.tools import onenode_folder

STATE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailfetch/demo"


def up() -> None:
    """Tells the story; what it started stays until `down`."""
    down(quiet=True)
    foreign = bool(os.environ.get(CONTEXT))
    if not foreign and (problems := preflight(STATE.parent if STATE.parent.exists() else None)):
        raise RuntimeError("\n".join(["This machine cannot run the demo yet:", *problems]))
    STATE.mkdir(parents=True)
    log = STATE / "build.log"
    with log.open("wb") as output:
        build = subprocess.Popen([REPOSITORY / "hack/build-onenode.sh"], stdout=subprocess.DEVNULL, stderr=output)
    try:
        screen.heading("1. The fetcher alone: from a real Dovecot into an embedded Valkey")
        with contextlib.suppress(subprocess.TimeoutExpired):
            build.wait(3)
        if build.poll() is None:
            screen.say("Meanwhile Kubernetes compiles from its Go modules: 10 to 20 minutes, this first time only.")
        first.play()
        screen.heading("2. A real Kubernetes")
        screen.follow(build, log)
        if build.returncode:
            raise RuntimeError(f"Kubernetes did not compile; the end of {log}:\n{log.read_text()[-2000:]}")
    finally:
        if build.poll() is None:
            build.terminate()
    _on_a_cluster(ForeignCluster() if foreign else Node(STATE / "node"))


def _on_a_cluster(cluster: Cluster) -> None:
    cluster.start()
    screen.command("kubectl get nodes")
    screen.show(cluster.kubectl("get", "nodes").stdout)
    screen.say("building the image of Mailfetch (once for each state of the code) …")
    cluster.load_images()
    cluster.make_volumes(2)
    mail = act.start_mail(STATE, cluster.host_ip)
    screen.heading("3. Helm installs the operator")
    act.install(cluster)
    screen.heading("4. A mailbox is declared")
    act.connect(cluster, mail)
    screen.heading("5. Enabled: the estimate, the closed gate, the acknowledgement")
    act.approve(cluster)
    screen.heading("6. The mails")
    client = act.look(cluster)
    screen.say()
    act.deliver(client, mail)
    screen.heading("7. The story of the connection")
    act.events(cluster)
    screen.heading("Look around")
    path = f"{onenode_folder()}:{Path(sys.executable).parent}"
    screen.say(f"  export KUBECONFIG={cluster.kubeconfig} PATH={path}:$PATH")
    screen.say("  kubectl get mailconnections -A -o wide")
    screen.say(f"  kubectl mailfetch status {act.NAME} -n {act.NAMESPACE}")
    screen.say(f"  kubectl -n {act.NAMESPACE} logs deployment/mailfetch-pool-default")
    screen.say("  # the last steps of the log that consumers find beside the mails:")
    template = "{{.data.url | base64decode}}"
    screen.say(f"  URL=$(kubectl -n {act.NAMESPACE} get secret mailfetch-redis -o go-template='{template}')")
    client = 'kubectl -n mailfetch exec mailfetch-redis-0 -- valkey-cli --no-auth-warning -u "$URL"'
    screen.say(f"  {client} XREVRANGE '{act.KEY.replace(':queue', ':log')}' + - COUNT 3")
    screen.say("and when you have seen enough:  make demo-down")


def down(*, quiet: bool = False) -> None:
    """Ends what a demo left, also one that crashed half-way."""
    told = STATE / "mail.json"
    if told.exists():
        _end(json.loads(told.read_text())["pid"])
    if (STATE / "node").exists():
        Node(STATE / "node").stop()
    if STATE.exists():
        shutil.rmtree(STATE)
    if not quiet:
        screen.say("The demo is gone: its cluster, its mail server and its data. Compiled programs stay in the cache.")


def _end(pid: int) -> None:
    """Ends the keeper, if this process still is the keeper."""
    try:
        if b"hack.demo.keeper" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        os.kill(pid, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.1)


def main() -> int:
    try:
        down() if sys.argv[1:] == ["down"] else up()
    except KeyboardInterrupt:
        screen.say("\ninterrupted; `make demo-down` removes what was started")
        return 130
    except RuntimeError as e:
        screen.say(f"\n{e}")
        screen.say("`make demo-down` removes what was started.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
