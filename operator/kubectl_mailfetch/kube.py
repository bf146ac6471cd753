"""The only module that talks to Kubernetes (pykube-ng). Its errors say what to do."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pykube
import requests

from kubectl_mailfetch import kubeconfig
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.kube_watch import GoneError, follow
from kubectl_mailfetch.model import VERSION

PLURAL = "mailconnections"
MANAGER = "kubectl-mailfetch"
_TIMEOUT = 30.0


class Cluster:
    """The MailConnections of one cluster, and the Secrets that `authorize` needs."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def namespace(self) -> str:
        """The namespace of the context."""
        return str(self._client.config.namespace)

    def list(self, namespace: str | None) -> list[dict[str, Any]]:
        """All MailConnections of a namespace, or of all namespaces (None)."""
        where = f"in namespace {namespace}" if namespace else "in all namespaces"
        found = self._call(self._client.get, doing=f"list MailConnections {where}", namespace=namespace, url=PLURAL)
        items: list[dict[str, Any]] = found.get("items") or []
        return [{"apiVersion": VERSION, "kind": "MailConnection", **item} for item in items]

    def names(self, namespace: str) -> Sequence[str]:
        """The names of the MailConnections of a namespace; 500 at most, and nothing else of them."""
        found = self._call(
            self._client.get,
            doing=f"list MailConnections in namespace {namespace}",
            namespace=namespace,
            url=PLURAL,
            params={"limit": "500"},
            headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
        )
        return [str(item["metadata"]["name"]) for item in found.get("items") or ()]

    def get(self, namespace: str, name: str) -> dict[str, Any]:
        """One MailConnection."""
        doing = f"read MailConnection {name} in namespace {namespace}"
        return self._call(self._client.get, doing=doing, namespace=namespace, url=f"{PLURAL}/{name}")

    def find(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One MailConnection, or None if there is none of that name."""
        return _if_there(lambda: self.get(namespace, name))

    def find_secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One Secret, or None if there is none of that name."""
        doing = f"read the Secret {name} in namespace {namespace}"
        url = f"secrets/{name}"
        return _if_there(lambda: self._call(self._client.get, doing=doing, version="v1", namespace=namespace, url=url))

    def write_secret(self, secret: Mapping[str, Any], *, exists: bool, dry_run: bool = False) -> None:
        """Creates a Secret, or patches the one that is there (a merge patch; its other keys stay).

        Args:
            secret: The object; with a resourceVersion only that state is patched.
            exists: Patch instead of create.
            dry_run: Only see whether it would be allowed.
        """
        namespace, name = secret["metadata"]["namespace"], secret["metadata"]["name"]
        self._call(
            self._client.patch if exists else self._client.post,
            doing=f"{'change' if exists else 'create'} the Secret {name} in namespace {namespace}",
            version="v1",
            namespace=namespace,
            url=f"secrets/{name}" if exists else "secrets",
            params={"fieldManager": MANAGER} | ({"dryRun": "All"} if dry_run else {}),
            headers={"Content-Type": "application/merge-patch+json" if exists else "application/json"},
            data=json.dumps(secret),
        )

    def annotate(self, namespace: str, name: str, annotations: Mapping[str, str]) -> dict[str, Any]:
        """Sets annotations by a merge patch; others stay as they are."""
        return self._call(
            self._client.patch,
            doing=f"annotate MailConnection {name} in namespace {namespace}",
            namespace=namespace,
            url=f"{PLURAL}/{name}",
            params={"fieldManager": MANAGER},
            headers={"Content-Type": "application/merge-patch+json"},
            data=json.dumps({"metadata": {"annotations": dict(annotations)}}),
        )

    def check(self, connection: Mapping[str, Any], *, exists: bool) -> dict[str, Any]:
        """The connection with its defaults, as the API server would save it; nothing is saved."""
        namespace, name = connection["metadata"]["namespace"], connection["metadata"]["name"]
        return self._call(
            self._client.put if exists else self._client.post,
            doing=f"save MailConnection {name} in namespace {namespace}",
            namespace=namespace,
            url=f"{PLURAL}/{name}" if exists else PLURAL,
            params={"fieldManager": MANAGER, "dryRun": "All", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/json"},
            data=json.dumps(connection),
        )

    def read(self, version: str, namespace: str, url: str, *, what: str, **params: str) -> dict[str, Any]:
        """Any object, or a list."""
        doing = f"read {what} in namespace {namespace}"
        return self._call(self._client.get, doing=doing, version=version, namespace=namespace, url=url, params=params)

    def create(self, manifest: Mapping[str, Any], *, plural: str) -> dict[str, Any]:
        """Creates an object of any kind."""
        namespace = manifest["metadata"]["namespace"]
        return self._call(
            self._client.post,
            doing=f"create the {manifest['kind']} {manifest['metadata']['name']} in namespace {namespace}",
            version=manifest["apiVersion"],
            namespace=namespace,
            url=plural,
            params={"fieldManager": MANAGER},
            headers={"Content-Type": "application/json"},
            data=json.dumps(manifest),
        )

    def delete(self, version: str, namespace: str, url: str, *, what: str) -> None:
        """Deletes an object; what it owns follows."""
        self._call(
            self._client.delete,
            doing=f"delete {what} in namespace {namespace}",
            version=version,
            namespace=namespace,
            url=url,
            params={"propagationPolicy": "Background"},
        )

    def follow(self, namespace: str | None, *, name: str = "", tick: int) -> Iterator[Sequence[dict[str, Any]]]:
        """All MailConnections (or the one), again whenever one of them changed, and at least at each tick.

        Args:
            namespace: None for all.
            name: Only this one.
            tick: Seconds.
        """
        where = f"in namespace {namespace}" if namespace else "in all namespaces"
        doing = f"watch MailConnections {where}"
        get = partial(self._send, self._client.get, doing=doing, namespace=namespace, url=PLURAL)
        return follow(get, name=name, tick=tick)

    def _call(self, method: Callable[..., Any], *, doing: str, **kwargs: Any) -> dict[str, Any]:
        return _json(self._send(method, doing=doing, **kwargs))

    def _send(self, method: Callable[..., Any], *, doing: str, **kwargs: Any) -> Any:
        server = self._client.url
        try:
            response = method(**{"version": VERSION, **kwargs})
        except requests.exceptions.SSLError as e:
            raise PluginError(
                f"the certificate of {server} is not trusted: {e}\nCheck the context of your kubeconfig.",
                code=Exit.NO_CLUSTER,
            ) from e
        except (requests.exceptions.RequestException, OSError) as e:
            raise PluginError(
                f"cannot reach the cluster at {server}: {_root(e)}\n"
                "Check that it runs and that --context, --kubeconfig or KUBECONFIG name the right one.",
                code=Exit.NO_CLUSTER,
            ) from e
        except pykube.exceptions.PyKubeError as e:
            raise PluginError(f"cannot log in at {server}: {e}", code=Exit.NO_CLUSTER) from e
        if not response.ok:
            raise _refusal(response.status_code, _json(response), doing)
        return response


def _if_there(read: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return read()
    except PluginError as e:
        if e.code is Exit.NOT_FOUND:
            return None
        raise


def connect(*, option: str, context: str, timeout: float = _TIMEOUT) -> Cluster:
    """The cluster that --kubeconfig, KUBECONFIG, ~/.kube/config or the pod's service account name.

    Raises:
        PluginError: none of them names a cluster.
    """
    _private_files()
    paths = kubeconfig.candidates(option, os.environ)
    try:
        if paths:
            doc = kubeconfig.load(paths)
            config = pykube.KubeConfig(doc, current_context=kubeconfig.choose_context(doc, context))
        else:
            config = pykube.KubeConfig.from_service_account()
        return Cluster(pykube.HTTPClient(config, timeout=timeout))
    except (FileNotFoundError, KeyError) as e:
        raise PluginError(
            "no cluster is configured: there is no ~/.kube/config. Name a file with --kubeconfig or KUBECONFIG.",
            code=Exit.NO_CLUSTER,
        ) from e
    except pykube.exceptions.PyKubeError as e:
        raise PluginError(f"the kubeconfig cannot be used: {e}", code=Exit.NO_CLUSTER) from e


def _private_files() -> None:
    """Pykube writes client keys into the temporary folder, readable for all: give it a folder of its own."""
    folder = tempfile.mkdtemp(prefix="kubectl-mailfetch-")
    tempfile.tempdir = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _json(response: Any) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(status: int, body: Mapping[str, Any], doing: str) -> PluginError:
    message = str(body.get("message") or f"HTTP status {status}")
    if status == 404 and (body.get("details") or {}).get("name"):
        return PluginError(f"{message}\nSee what there is: kubectl mailfetch list -A", code=Exit.NOT_FOUND)
    if status == 404:
        return PluginError(
            "this cluster does not know MailConnections. Install Mailfetch: "
            "helm install mailfetch charts/mailfetch -n mailfetch --create-namespace",
            code=Exit.NO_CLUSTER,
        )
    if status == 410:
        return GoneError(f"cannot {doing}: {message}")
    if status == 401:
        return PluginError("the cluster does not accept your credentials; log in again", code=Exit.NO_CLUSTER)
    if status == 403:
        return PluginError(
            f"you may not {doing}: {message}\nAsk for a Role that allows it (docs/security.md), or name a namespace"
            " where you may with -n.",
            code=Exit.NO_CLUSTER,
        )
    if status == 409:
        return PluginError(f"cannot {doing}: somebody else changed it meanwhile. Run the command again.")
    return PluginError(f"cannot {doing}: {message}")


def _root(error: BaseException) -> str:
    """The innermost reason, without the layers of the HTTP client."""
    text = str(error)
    for known in (
        "Connection refused",
        "Name or service not known",
        "No route to host",
        "timed out",
        "Temporary failure",
    ):
        if known.lower() in text.lower():
            return known
    return text
