import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailfetch_fetcher import manifest

GOOD = """
apiVersion: mailfetch.dev/v1alpha1
kind: MailConnection
metadata: {name: support, namespace: helpdesk}
spec:
  protocol: IMAP
  server: {host: imap.example.com}
  auth: {type: Password, username: u, passwordSecretRef: {name: s}}
"""


def one(change: str = "") -> list[dict[str, object]]:
    document = yaml.safe_load(GOOD)
    if change:
        path, value = change.split("=", 1)
        *parents, last = path.split(".")
        node = document
        for key in parents:
            node = node.setdefault(key, {})
        if value:
            node[last] = yaml.safe_load(value)
        else:
            del node[last]
    return [document]


def test_a_manifest_becomes_an_assignment() -> None:
    (a,) = manifest.assignments(one())
    assert (a.namespace, a.name, a.stream, a.folder) == ("helpdesk", "support", "support", "INBOX")
    assert a.identity.startswith("sha256:")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("metadata.name=", "metadata.name is missing"),
        ("spec.protocol=", "missing required field 'protocol'"),
        ("spec.protocol=imap", "spec.protocol"),
        ("spec.server=", "spec.server is required"),
        ("spec.server.port='993'", "spec.server.port"),
        ("spec.server.encryption=None", "spec.server.allowInsecureLogin"),
        ("spec.auth.passwordSecretRef=", "spec.auth.passwordSecretRef is required"),
        ("spec.protocol=MicrosoftGraph", "must be MicrosoftOAuth2"),
        ("spec.auth.oauth2={clientSecretRef: {name: c}}", "spec.auth.oauth2 is only for"),
        ("spec.auth.passwordSecretRef.name=/tmp/mine", "a Secret '/tmp/mine': names of Secrets are"),
        ("spec.auth.passwordSecretRef.name='../mine'", "a Secret '../mine'"),
        ("spec.auth.passwordSecretRef.key='a/b'", "the key 'a/b' of a Secret 's'"),
        ("spec.auth.passwordSecretRef.key='..'", "the key '..' of"),
        ("spec.tls={caSecretRef: {name: .., key: ca.crt}}", "a Secret '..'"),
        ("spec.backlog.startFrom=Since", "spec.backlog.since is required"),
        ("spec.backlog.since='2026-01-31'", "spec.backlog.since is required"),
        ("spec.backlog={startFrom: Since, since: yesterday}", "'yesterday' is not a date"),
        ("spec.afterDownload={when: Acknowledged}", "spec.afterDownload.consumerGroup is required"),
        ("spec.afterDownload.consumerGroup=crm", "spec.afterDownload.consumerGroup is required"),
        ("spec.afterDownload.delay=9000h", "spec.afterDownload.delay must be"),
        ("spec.afterDownload.delay=soon", "spec.afterDownload.delay: 'soon' is not a duration"),
        ("spec.afterDownload={action: Move, folder: INBOX}", "must be another folder"),
        ("spec.afterDownload.permanent=true", "spec.afterDownload.permanent is only for action: Delete"),
        ("spec.afterDownload={action: Delete, permanent: true}", "permanent is only for protocol: MicrosoftGraph"),
        ("spec.schedule.interval=5s", "spec.schedule.interval must be 10s to 24h"),
        ("spec.schedule.timeout=3m", "spec.schedule.timeout must be 1ms to 2m"),
        ("spec.afterdownload.action=None", "there is no field spec.afterdownload"),
        ("spec.server.tls=true", "there is no field spec.server.tls"),
        ("spec.certificates=[{secretName: a, kee: b}]", "there is no field spec.certificates[0].kee"),
        ("spec.schedule.interval=fast", "spec.schedule.interval: 'fast' is not a duration"),
        ("spec.afterDownload.action=Move", "spec.afterDownload.folder is required"),
        ("spec.queue.maxMessageSize=1 mile", "spec.queue.maxMessageSize: '1 mile' is not a size"),
        ("spec.retention.log=1 month", "spec.retention.log: '1 month' is not a period"),
        ("spec.queue.maxLength=0", "spec.queue.maxLength must be"),
        ("spec.approval.maxMessages=-1", "spec.approval.maxMessages must be"),
    ],
)
def test_a_bad_manifest_is_refused_with_the_field(change: str, text: str) -> None:
    with pytest.raises(ValueError) as e:
        list(manifest.assignments(one(change)))
    assert text in str(e.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("spec.folder=INBOX", "POP3 has no folders"),
        ("spec.afterDownload={action: Move, folder: Done}", "POP3 cannot move"),
    ],
)
def test_what_pop3_cannot_do_is_refused(change: str, text: str) -> None:
    documents = one(change)
    documents[0]["spec"]["protocol"] = "POP3"  # type: ignore[index]
    with pytest.raises(ValueError, match=text):
        list(manifest.assignments(documents))


OAUTH2 = "spec.auth={type: MicrosoftOAuth2, username: u, oauth2: {clientSecretRef: {name: c}, flow: Application}}"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("spec.auth.oauth2=", "spec.auth.oauth2 is required"),
        ("spec.auth.passwordSecretRef={name: s}", "passwordSecretRef is only"),
        ("spec.auth.oauth2.flow=Delegated", "tokenSecretRef is required"),
        ("spec.auth.oauth2.tokenSecretRef={name: t}", "forbidden for Application"),
        ("spec.server.encryption=None", "must be TLS or StartTLS"),
        ("spec.protocol=MicrosoftGraph", "takes no spec.server"),
        (
            "spec.auth={type: GoogleOAuth2, username: u, oauth2: {clientSecretRef: {name: c}, flow: Application, "
            "cloud: China}}",
            "not for",
        ),
    ],
)
def test_a_bad_manifest_with_oauth2_is_refused_with_the_field(change: str, text: str) -> None:
    (document,) = one(OAUTH2)
    path, value = change.split("=", 1)
    *parents, last = path.split(".")
    node: Any = document
    for key in parents:
        node = node[key]
    node.pop(last, None)
    if value:
        node[last] = yaml.safe_load(value)
    with pytest.raises(ValueError) as e:
        list(manifest.assignments([document]))
    assert text in str(e.value)


@pytest.mark.parametrize("cloud", ["Global", "USGovernment", "USGovernmentDoD", "China"])
def test_deleting_for_good_is_for_one_cloud(cloud: str) -> None:
    documents: Any = one(OAUTH2)
    spec = documents[0]["spec"]
    del spec["server"]
    spec |= {"protocol": "MicrosoftGraph", "afterDownload": {"action": "Delete", "permanent": True}}
    spec["auth"]["oauth2"]["cloud"] = cloud
    if cloud == "Global":
        assert list(manifest.assignments(documents))
        return
    with pytest.raises(ValueError, match=r"permanent is only for spec\.auth\.oauth2\.cloud: Global"):
        list(manifest.assignments(documents))


@pytest.mark.parametrize(
    "change",
    [
        OAUTH2,
        "spec.sharedMailbox=billing@example.com",
        "spec.backlog={startFrom: Since, since: '2026-01-31'}",
        "spec.backlog={startFrom: Now}",
        "spec.afterDownload={action: Delete, when: Acknowledged, consumerGroup: crm, delay: 24h}",
        "spec.protocol=POP3",
        "spec.deletionPolicy=Purge",
    ],
)
def test_what_this_version_runs_is_taken(change: str) -> None:
    assert len(list(manifest.assignments(one(change)))) == 1


def test_requests_come_from_the_annotations() -> None:
    (a,) = manifest.assignments(one())
    assert a.requests == {}
    wanted = {"mailfetch.dev/refetch": "uid:5#2", "mailfetch.dev/resume-actions": 17, "mailfetch.dev/enable": "true"}
    (a,) = manifest.assignments(one(f"metadata.annotations={wanted}"))
    assert a.requests == {"refetch": "uid:5#2", "resume-actions": "17"}


def test_a_date_is_a_text_as_in_kubernetes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(GOOD + "  backlog: {startFrom: Since, since: 2026-01-31}\n")
    (a,) = manifest.assignments(manifest.load(path))
    assert a.spec.backlog.since == "2026-01-31"


def test_secrets_are_written_as_mounted_and_private(tmp_path: Path) -> None:
    document = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "w7w="}, "stringData": {"b": "pässword"}}
    manifest.write_secrets([document], tmp_path)
    assert (tmp_path / "s/a").read_bytes() == "ü".encode()
    assert (tmp_path / "s/b").read_text() == "pässword"
    assert stat.S_IMODE((tmp_path / "s/b").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../x", "", ".x"])
def test_a_secret_cannot_be_written_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        manifest.write_secrets([{"kind": "Secret", "metadata": {"name": name}, "stringData": {"a": "b"}}], tmp_path)
    with pytest.raises(ValueError):
        manifest.write_secrets([{"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"../a": "b"}}], tmp_path)


def test_text_in_data_is_told_from_base64(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stringData"):
        manifest.write_secrets([{"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "plain text!"}}], tmp_path)
