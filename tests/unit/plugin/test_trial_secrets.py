"""Where the password of a connection that is not saved comes from."""

import base64
import io
import sys
from typing import Any

import pytest

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.trial_secrets import Sources, collect
from tests.unit.plugin.samples import connection

PASSWORD = ("support-mailbox", "password")
OAUTH2: dict[str, Any] = {
    "protocol": "MicrosoftGraph",
    "auth": {"type": "MicrosoftOAuth2", "username": "u", "oauth2": {"clientSecretRef": {"name": "app"}}},
}


def in_file(**values: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "support-mailbox"}, **values}


def found(
    *documents: dict[str, Any], stdin: bool = False, ask: bool = False, there: bool | None = False, **spec: Any
) -> tuple[dict[tuple[str, str], bytes], list[str]]:
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return "typed"

    sources = Sources(documents=documents, stdin=stdin, ask=ask, in_cluster=lambda *_: there, prompt=prompt)
    return collect(connection(spec=spec).raw, sources), asked


def test_of_the_same_file() -> None:
    for secret in (
        in_file(stringData={"password": "pä"}),
        in_file(data={"password": base64.b64encode("pä".encode()).decode()}),
    ):
        assert found(secret) == ({PASSWORD: "pä".encode()}, [])


def test_of_the_cluster_or_where_nobody_may_see_it() -> None:
    assert found(there=True) == ({}, [])
    assert found(there=None) == ({}, [])


def test_typed_if_there_is_none_or_it_is_wanted() -> None:
    question = ["Password of support@example.com: "]
    assert found() == ({PASSWORD: b"typed"}, question)
    assert found(in_file(data={"other": ""})) == ({PASSWORD: b"typed"}, question)
    assert found(in_file(stringData={"password": "of the file"}), ask=True) == ({PASSWORD: b"typed"}, question)
    assert found(there=True, ask=True) == ({PASSWORD: b"typed"}, question)


@pytest.mark.parametrize(
    ("piped", "password"), [(b"p w\n", b"p w"), (b"p\r\n", b"p"), (b"p\n\n", b"p\n"), (b" p", b" p")]
)
def test_piped(monkeypatch: pytest.MonkeyPatch, piped: bytes, password: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
    assert found(in_file(stringData={"password": "of the file"}), stdin=True) == ({PASSWORD: password}, [])


def test_nothing_is_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(PluginError, match="standard input is empty"):
        found(stdin=True)


def test_oauth2_has_no_password() -> None:
    assert found(**OAUTH2) == ({}, [])
    client = in_file(stringData={"client-id": "id", "unused": "x"}) | {"metadata": {"name": "app"}}
    assert found(client, **OAUTH2) == ({("app", "client-id"): b"id"}, [])
    wishes: list[dict[str, Any]] = [{"stdin": True}, {"ask": True}]
    for wish in wishes:
        with pytest.raises(PluginError, match="no password") as caught:
            found(**wish, **OAUTH2)
        assert caught.value.code is Exit.USAGE


def test_what_is_no_base64_is_told_without_the_value() -> None:
    with pytest.raises(PluginError, match=r"data\.password is not base64") as caught:
        found(in_file(data={"password": "hunter2!"}))
    assert "hunter2" not in caught.value.message
