"""A refresh token in Redis can be opened only with the one in the Secret, and only for its own connection."""

import pytest

from mailfetch_fetcher.auth.rotation import VERSION, seal, unseal

MOUNTED, OWNER, TOKEN = b"the token in the Secret", b"helpdesk/support", "1.AX-new-token"


def test_it_comes_back() -> None:
    sealed = seal(TOKEN, mounted=MOUNTED, owner=OWNER)
    assert unseal(sealed, mounted=MOUNTED, owner=OWNER) == TOKEN
    assert TOKEN.encode() not in sealed
    assert sealed.startswith(VERSION)


def test_the_same_token_is_never_sealed_alike() -> None:
    assert seal(TOKEN, mounted=MOUNTED, owner=OWNER) != seal(TOKEN, mounted=MOUNTED, owner=OWNER)


@pytest.mark.parametrize(
    ("mounted", "owner"), [(b"the token of a new authorization", OWNER), (MOUNTED, b"helpdesk/billing"), (b"", OWNER)]
)
def test_another_authorization_or_connection_opens_nothing(mounted: bytes, owner: bytes) -> None:
    assert unseal(seal(TOKEN, mounted=MOUNTED, owner=OWNER), mounted=mounted, owner=owner) == ""


def test_what_was_changed_opens_nothing() -> None:
    sealed = seal(TOKEN, mounted=MOUNTED, owner=OWNER)
    for place in range(len(sealed)):
        broken = bytearray(sealed)
        broken[place] ^= 1
        assert unseal(bytes(broken), mounted=MOUNTED, owner=OWNER) == ""
    for length in range(len(sealed)):
        assert unseal(sealed[:length], mounted=MOUNTED, owner=OWNER) == ""
