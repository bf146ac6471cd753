"""The form of all messages of the contract."""

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Frozen, keyword-only, camelCase in JSON; fields that hold their default are left out, unknown ones ignored."""
