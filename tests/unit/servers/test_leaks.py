"""The search for secrets finds them however they are written, and nothing else."""

import base64
import json
from urllib.parse import quote, urlencode

import pytest

from tests.servers.leaks import find

LONG = "eyJ0" + "".join(f"{n:02x}ü/~" for n in range(60))
SHORT = 'k"9 ü+/~pw'
SECRETS = [LONG, SHORT]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", range(4))
def test_a_login_in_base64_is_read(secret: str, before: int) -> None:
    login = f"{'u' * before}{secret}\x01\x01".encode()
    for text in (base64.b64encode(login), base64.urlsafe_b64encode(login)):
        assert find({"token": secret}, {"log": b"AUTH XOAUTH2 " + text + b"\n"})


@pytest.mark.parametrize("secret", SECRETS)
def test_each_way_of_writing_is_known(secret: str) -> None:
    ways = {
        "plain": f"token={secret}.".encode(),
        "address": f"https://x/?t={quote(secret, safe='')}&".encode(),
        "form": urlencode({"t": secret}).encode(),
        "json": json.dumps({"message": secret}).encode(),
        "repr": repr([secret]).encode(),
    }
    assert {leak.split()[3].strip(",") for leak in find({"token": secret}, ways)} == set(ways)


def test_the_beginning_and_the_end_of_a_long_one_are_enough() -> None:
    assert find({"token": LONG}, {"log": f"refused: {LONG[:40]}…".encode()})
    assert find({"token": LONG}, {"log": f"…{LONG[-40:]}".encode()})


def test_what_is_found_is_told_without_the_secret() -> None:
    (leak,) = find({"the token": LONG, "the password": SHORT}, {"the log": b"fine", "Redis": LONG.encode()})
    assert leak == "the token is in Redis, as it is"
    assert LONG[:10] not in leak


def test_other_texts_are_not_taken_for_secrets() -> None:
    other = LONG[::-1] + base64.b64encode(LONG[::-1].encode()).decode() + SHORT[1:] + SHORT[:-1]
    assert find({"token": LONG, "password": SHORT}, {"log": other.encode(), "empty": b""}) == []


def test_what_is_too_short_to_be_told_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="5 characters"):
        find({"password": "pass1"}, {})
