import json, subprocess, sys
from pathlib import Path
import pytest
from tests.integration.graph.tenant import Tenant, GRAPH, USER
from tests.servers.authority_keys import make_key_pair
from tests.servers.authority_model import TENANT
from tests.servers.resolve import child_environment
from tests.servers import mailgen
EX = Path(__file__).parents[3] / "examples"
import yaml
def say(*a): print(*a, flush=True)
def cli(tenant, server, f, *words):
    p = subprocess.run([sys.executable, "-m", "mailfetch_fetcher.main", *words, "-f", str(f), "--redis", server.url], env=child_environment(tenant.addresses), capture_output=True, text=True, timeout=100)
    say("$", words, p.returncode); say(p.stdout); say(p.stderr[-1500:])
    return p
def manifest(tmp_path, tenant, secret, ca=True, **changes):
    docs = list(yaml.safe_load_all((EX/"graph.yaml").read_text()))
    docs[0]["stringData"] = secret
    spec = docs[1]["spec"]
    spec["auth"]["username"] = USER
    spec["tls"] = {"caSecretRef": {"name": "ca"}}
    if not ca: del spec["tls"]
    for k, v in changes.items():
        if v is None: spec.pop(k, None)
        else: spec[k] = v
    docs.append({"kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": tenant._certificates.ca.read_text()}})
    f = tmp_path / "m.yaml"; f.write_text("---\n".join(json.dumps(d)+"\n" for d in docs)); return f
def test_graph_app_cert(tenant, server, tmp_path):
    pair = make_key_pair()
    say([a for a in dir(pair) if not a.startswith("_")])
    tenant.authority.register_client("app2", certificate=pair.certificate, application={GRAPH: {"Mail.ReadWrite"}})
    tenant.fill(*mailgen.mails(3))
    sec = {"client-id": "app2", "tenant-id": TENANT, "certificate.pem": pair.certificate_pem if hasattr(pair,"certificate_pem") else pair.certificate, "private-key.pem": pair.private_pem if hasattr(pair,"private_pem") else getattr(pair,"private_key",None)}
    f = manifest(tmp_path, tenant, sec)
    cli(tenant, server, f, "probe")            # Move to Downloaded: does the folder exist?
    f = manifest(tmp_path, tenant, sec, afterDownload=None)
    cli(tenant, server, f, "probe")
    cli(tenant, server, f, "run", "--once", "--yes")
    cli(tenant, server, f, "probe")
    f = manifest(tmp_path, tenant, sec, afterDownload=None, folder="inbox/Nope")
    cli(tenant, server, f, "probe")
    tenant.graph.policy = set()
    f = manifest(tmp_path, tenant, sec, afterDownload=None)
    cli(tenant, server, f, "probe")
    tenant.graph.policy = None
    f = manifest(tmp_path, tenant, sec, ca=False, afterDownload=None)
    cli(tenant, server, f, "probe")
    f = manifest(tmp_path, tenant, {"client-id": "app2", "tenant-id": TENANT}, afterDownload=None)
    cli(tenant, server, f, "probe")
    f = manifest(tmp_path, tenant, {"client-id": "app2", "client-secret": "x"}, afterDownload=None)
    cli(tenant, server, f, "probe")
