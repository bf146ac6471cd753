from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store.model import Quarantined
from mailfetch_fetcher.store.quarantine import decode_record, encode_record


@given(
    detail=st.text(),
    name=st.binary(),
    kind=st.sampled_from(["Unreadable", "TooLarge"]),
    numbers=st.tuples(*[st.integers(0, 2**53)] * 5),
)
def test_what_is_written_is_read(
    detail: str, name: bytes, kind: Literal["Unreadable", "TooLarge"], numbers: tuple[int, ...]
) -> None:
    uid, size, since, attempts, retry = numbers
    record = Quarantined(
        ref="1/2", uid=uid, size=size, kind=kind, detail=detail, since=since, attempts=attempts, retry=retry, name=name
    )
    text = encode_record(record)
    assert decode_record("1/2", text) == record
    assert text.isascii()  # also what the server said in another encoding


@pytest.mark.parametrize("text", ["", "[]", "5", "{}", '{"kind": "Unreadable"}', "null"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(StoreError, match="1/2") as failure:
        decode_record("1/2", text)
    assert failure.value.reason == "StoreUnsafe"
