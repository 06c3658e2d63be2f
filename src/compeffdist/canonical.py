"""Values as the same bytes on every machine, and their hashes: what content ids, artefacts and draws rest on."""

import hashlib
import json
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused."""
    return _CANONICAL.encode(value)


def indented_json(value: Any) -> str:
    """`value` as JSON that people read: sorted keys, a line an item. NaN is refused."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def hash_bytes(data: bytes, algorithm: str = "sha256") -> str:
    """Hash of `data`, in hex."""
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def hash_text(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of `text`, in hex."""
    return hash_bytes(text.encode("utf-8"))


def hash_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hex."""
    return hash_text(canonical_json(value))
