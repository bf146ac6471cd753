"""A cluster and a namespace for the plugin; the providers, and a namespace with their clients, for `authorize`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.authorizing import Authorizing, Scene, client_secret
from tests.integration.plugin.running import SCRIPT, Plugin
from tests.servers.authority import Authority
from tests.servers.certs import Certificates, make_certificates
from tests.servers.dovecot import Dovecot
from tests.servers.dovecot_oauth2 import OAuth2
from tests.servers.graph import GraphFake
from tests.servers.resolve import CERTIFICATE_NAMES, resolve

CRD = Path(__file__).parents[3] / "crds/mailconnections.mailfetch.dev.yaml"
GOOGLE_CLIENT = "app.apps.googleusercontent.com"


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """An API server that knows MailConnections."""
    control_plane.kubectl("apply", "--server-side", "-f", str(CRD))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/mailconnections.mailfetch.dev", "--timeout=120s")
    return control_plane


@pytest.fixture
def namespace(cluster: ControlPlane) -> Iterator[str]:
    name = f"plugin-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def plugin(cluster: ControlPlane) -> Plugin:
    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), **env}
        environment.pop("COLUMNS", None)
        return subprocess.run(
            [str(SCRIPT), *args],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), hosts=(*CERTIFICATE_NAMES, "DNS:shared.test"))


@pytest.fixture
def scene(cluster: ControlPlane, certificates: Certificates) -> Iterator[Scene]:
    namespace = f"authorize-{uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", namespace)
    with Authority(certificates) as authority:
        authority.sign_in_as = "u@contoso.com"
        for address in ("u@contoso.com", "other@contoso.com"):
            authority.account(address)
        authority.google_account("g@example.com")
        authority.register_client("app")
        authority.register_client(GOOGLE_CLIENT, secret="google's secret", redirect="http://localhost")
        tokens = OAuth2(introspection=authority.introspection())
        with (
            GraphFake(certificates=certificates, check=authority.look_up) as graph,
            Dovecot(certificates, oauth2=tokens) as dovecot,
        ):
            addresses = {
                **authority.addresses,
                ("graph.microsoft.com", 443): graph.port,
                ("outlook.office365.com", 993): dovecot.imaps_port,
                ("outlook.office365.com", 995): dovecot.pop3s_port,
                ("outlook.office365.com", 143): dovecot.imap_port,
                ("outlook.office365.com", 110): dovecot.pop3_port,
                ("imap.gmail.com", 993): dovecot.imaps_port,
            }

            def run(*args: str, kubeconfig: Path = cluster.kubeconfig, **more: str) -> Authorizing:
                return Authorizing(
                    *args, "-n", namespace, kubeconfig=kubeconfig, ca=certificates.ca, addresses=addresses, **more
                )  # fmt: skip

            made = Scene(
                cluster=cluster, namespace=namespace, authority=authority, graph=graph, run=run, addresses=addresses
            )
            made.save(client_secret("m365-client", client_id="app"))
            made.save(client_secret("google-client", client_id=GOOGLE_CLIENT, client_secret="google's secret"))
            with resolve(addresses):
                yield made
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
