"""What holds of logging in to a real Dovecot whatever the protocol: the tests of each folder import these."""

from collections.abc import Callable

import pytest

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.source import Source
from tests.servers.certs import Kind
from tests.servers.dovecot import Dovecot

_Make = Callable[..., Source]


def failure(source: Source) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.open()
    return caught.value


def test_a_wrong_password_and_its_correction(user: str, make_source: _Make) -> None:
    error = failure(make_source(user, password="wrong-password"))
    assert (error.reason, error.pace) == ("AuthFailed", Pace.SLOW)
    assert user in error.message
    assert "wrong-password" not in error.message
    make_source(user).open()


@pytest.mark.parametrize("encryption", ["TLS", "StartTLS"])
@pytest.mark.parametrize(("kind", "words"), [("expired", "has expired"), ("wronghost", "is for another name")])
def test_a_bad_certificate_and_its_renewal(
    changing: Dovecot, make_source: _Make, kind: Kind, words: str, encryption: str
) -> None:
    changing.restart(certificate=kind)
    error = failure(make_source("user1@mail.test", server=changing, encryption=encryption))
    assert error.reason == "TLSFailed"
    assert words in error.message
    changing.restart(certificate="server")
    make_source("user1@mail.test", server=changing, encryption=encryption).open()
