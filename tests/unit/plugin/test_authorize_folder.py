"""Secrets as files, and the words of `authorize` where there is no cluster."""

import os
from pathlib import Path

import pytest

from kubectl_mailfetch.authorize.folder import Folder
from kubectl_mailfetch.authorize.place import Place
from kubectl_mailfetch.authorize.plan import read_client
from kubectl_mailfetch.errors import Exit, PluginError
from tests.unit.plugin.test_authorize_plan import GOOGLE, MICROSOFT, plan

FILES = Place(namespace="default", file="my mail.yaml", directory="secrets")


def test_a_token_is_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "new" / "secrets"))
    file = folder.prepare("token", "refresh-token")
    assert not file.exists()
    assert folder.read("token") == {}
    kept = os.umask(0)
    try:
        folder.write("token", "refresh-token", "first")
        file.chmod(0o644)
        folder.write("token", "refresh-token", "second")
    finally:
        os.umask(kept)
    assert file == tmp_path / "new/secrets/token/refresh-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [f.name for f in file.parent.iterdir()] == ["refresh-token"]
    assert folder.read("token") == {"refresh-token": "second"}


def test_what_is_no_text_is_left_out_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "client" / "more").mkdir(parents=True)
    (tmp_path / "client" / "client-id").write_text("app\n")
    (tmp_path / "client" / "image").write_bytes(b"\xff\xfe")
    folder = Folder(str(tmp_path))
    assert folder.read("client") == {"client-id": "app\n"}
    assert folder.read("absent") is None


def test_what_cannot_be_written_is_told_before_anybody_signs_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for act in (Folder.prepare, lambda f, s, k: f.write(s, k, "secret")):
        with pytest.raises(PluginError, match=r"cannot write .*/file/token/key \(.*--secrets") as caught:
            act(Folder(str(tmp_path / "file")), "token", "key")
        assert caught.value.code is Exit.USAGE


def test_nothing_secret_is_left_of_what_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "token/key").mkdir(parents=True)
    for act in (Folder.prepare, lambda f, s, k: f.write(s, k, "secret")):
        with pytest.raises(PluginError, match="cannot write"):
            act(Folder(str(tmp_path)), "token", "key")
    assert [path.name for path in (tmp_path / "token").iterdir()] == ["key"]


@pytest.mark.parametrize(("secret", "key"), [("../token", "key"), ("token", "a/b"), ("..", "key")])
def test_names_do_not_lead_out_of_the_directory(tmp_path: Path, secret: str, key: str) -> None:
    with pytest.raises(PluginError, match="is not the name of a Secret or of a key"):
        Folder(str(tmp_path)).prepare(secret, key)


def test_a_missing_client_comes_with_the_files_to_write() -> None:
    with pytest.raises(PluginError) as caught:
        read_client(None, plan("IMAP", GOOGLE, place=FILES))
    assert "is neither in secrets nor in my mail.yaml" in caught.value.message
    assert "Write secrets/client/client-id and secrets/client/client-secret, or put it into" in caught.value.message
    with pytest.raises(PluginError) as caught:
        read_client({"client-id": "id"}, plan("IMAP", GOOGLE, place=FILES))
    assert "has no key client-secret. Write secrets/client/client-secret, or put it into" in caught.value.message
    assert "kubectl" not in caught.value.message


@pytest.mark.parametrize(
    ("place", "again", "next_step"),
    [
        (Place(namespace="x"), "support -n x", "kubectl mailfetch status support -n x"),
        (Place(namespace="x", file="a b"), "support -n x -f 'a b'", "kubectl apply -n x -f 'a b'"),
        (
            FILES,
            "support -f 'my mail.yaml' --secrets secrets",
            "mailfetch-fetcher probe -f 'my mail.yaml' --secrets secrets",
        ),
    ],
)
def test_commands_lead_back_to_where_the_connection_is(place: Place, again: str, next_step: str) -> None:
    assert plan(place=place).again == f"kubectl mailfetch authorize {again}"
    with pytest.raises(PluginError) as caught:
        plan("IMAP", MICROSOFT, {"flow": "Application"}, place)
    assert caught.value.message.endswith(f"\n{next_step}")
