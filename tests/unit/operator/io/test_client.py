"""How a manifest is written for server-side apply."""

import json

import pytest
import yaml

from mailfetch_operator.api.client import as_yaml

EVERYTHING = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000), 0x1F4E7, 0x10FFFF]))


@pytest.mark.parametrize("text", ["Post 📥", EVERYTHING, "\\ud83d\\udce7", "\U0010ffff", "'\"\\\n\t\0"])
def test_an_applied_manifest_is_json_and_yaml(text: str) -> None:
    manifest = {"data": {text: [text, 1, True, None]}}
    written = as_yaml(manifest)
    assert json.loads(written) == manifest
    # Keys of more than 1,024 characters need another form in YAML; names are far shorter.
    assert yaml.safe_load(as_yaml({"data": text})) == {"data": text}


def test_an_emoji_stands_as_it_is() -> None:
    """The API server's parser refuses it as an escaped pair of halves, which PyYAML does not mind."""
    assert as_yaml({"a": "📥"}) == '{"a":"📥"}'.encode()
