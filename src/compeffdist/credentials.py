"""Secrets kept out of what people read: passwords, tokens and keys, ours and those that others put into a message.

Libraries and servers repeat addresses, headers and settings in their errors. What is masked is told by its place
(behind `password=` or `Authorization:`, before the @ of an address), by its form (`hf_…`, `sk-…`), or by standing in
this process's environment. What is masked needlessly costs a word of a message; prose about tokens stays as it is.
"""

import base64
import binascii
import os
import re
from urllib.parse import unquote

MASK = "***"
KEY_VARIABLE = "COMPEFFDIST_API_KEY"
"""Holds the teacher's key; with _ and a server's name behind it, that of one server."""
SECRETS = (
    *(KEY_VARIABLE, "OPENAI_API_KEY", "HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"),
)
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables that hold a secret, and such that hold addresses: what they hold is masked outside of addresses, too."""
TELLING = 8
"""A secret of fewer characters, or a plain word, would be found everywhere."""

_IN_ADDRESS = re.compile(r"(?<=://)(?:[^\s/?#]*:\S*|[^\s/?#]*)@")
"""User and password in an address, as in MLFLOW_TRACKING_URI: libraries put whole addresses into their messages. A
password may hold any character, so all up to the last @ goes: an address may lose part of its path by it."""
_BEFORE_HOST = re.compile(
    r"(?i)(?<![\w./:@-])(?!(?:api|models|runs|hf|path|pypi|mailto|file|\d+):)"
    r"[\w.+%-]{1,100}:(?!/)[^\s'\"<>]{1,200}@(?!sha256:)(?=[\w\[])"
)
"""`user:password@host` without a scheme; not `api:NAME@SERVER`, a time or the digest of an image."""
_QUERY = re.compile(r"(?<=://)([^\s?]*\?)([^\s'\"<>)\]]+)")
_LONG = re.compile(r"(?<==)[^&;#=]{16,}|^[^=]{8,}$")
"""What in the query of an address may be a token, whatever its field is called."""

_KEY_WORD = r"(?:api|access|account|private|secret|shared|storage|signing|encryption|master|auth|subscription|license)"
_NAME = (
    rf"(?:secret(?:[_-]?access)?[_-]?key|(?:shared[_-]?)?{_KEY_WORD}[_-]?keys?(?:[_-]?id)?|secrets?|auth[_-]?token|token"
    r"|passw(?:or)?ds?|passwd|passphrase|pwd|signature|credentials?)"
)
_TOLD = r"(?=[^\s'\"]*\d)[^\s'\",;)}\]\\]{6,}"
"""What no prose is."""
_SAID_OF = r"\\*['\"]?\s*[=:]\s*"
_ASSIGNED = re.compile(
    rf"(?i)({_NAME}=)(?!\\*['\"])[^&\s'\"]+"  # password=...
    rf"|((?<![\w-])--[\w.-]{{0,40}}{_NAME}[= ])(?![-'\"])\S+"  # --token ...
    rf"|({_NAME}{_SAID_OF}b?\\*')[^']+?(?=\\*'|$)|({_NAME}{_SAID_OF}b?\\*\")[^\"]+?(?=\\*\"|$)"  # "password": "..."
    rf"|({_NAME}{_SAID_OF}){_TOLD}"  # password: ...
    r"|([?&;#](?:key|sig|auth|code|sas)=)[^&\s'\"]+"
    r"|((?-i:_(?:KEY|PAT|PASS|PW|AUTH|DSN)=))\S+"
)
_WORDS = (
    *("key", "secret", "token", "passw", "passphrase", "pwd", "signature", "credential"),
    *("sig=", "auth=", "code=", "sas=", "_pat=", "_pass=", "_pw=", "_dsn="),
)
"""One of which is in whatever _ASSIGNED finds: it is slow."""
_AUTHORIZATION = r"\b(?:proxy-)?authorization\\*['\"]?\s*[:=,]\s*b?\\*['\"]?"
_HEADER = re.compile(
    rf"(?i)({_AUTHORIZATION}(?:basic|bearer|token|key|api-?key|digest|negotiate|ntlm) +)[^\s'\",;\\]{{3,}}"
    rf"|({_AUTHORIZATION}){_TOLD}"
    r"|(\b(?:set-)?cookie['\"]?\s*:\s*b?['\"]?[\w.-]+=)[^\s'\",;]+"
    r"|(\bbearer +)(?:(?=\S*\d)[\w.~+/=-]{8,}|[\w.~+/=-]{24,})"
)
_BASIC = re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/]{4,}={0,2}")
_KNOWN = re.compile(
    r"\b(?:sk-[\w-]{16,}|hf_[A-Za-z0-9]{16,}|gh[opusr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abprs]-[\w-]{10,}|AKIA[A-Z0-9]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+)"
)
"""Tokens that show what they are."""


def without_credentials(text: str) -> str:
    """`text` with user names, passwords, keys and tokens masked, and the secrets of this environment."""
    for secret in _own_secrets():
        text = text.replace(secret, MASK)
    text = _KNOWN.sub(MASK, text)
    if "basic " in (folded := text.lower()):
        text = _BASIC.sub(lambda found: MASK if _is_pair(found[0]) else found[0], text)
    if any(word in folded for word in ("authorization", "cookie", "bearer ")):
        text = _HEADER.sub(_behind, text)
    if any(word in folded for word in _WORDS):
        text = _ASSIGNED.sub(_behind, text)
    if "://" in text:
        text = _QUERY.sub(lambda found: found[1] + _LONG.sub(MASK, found[2]), _IN_ADDRESS.sub(f"{MASK}@", text))
    return _BEFORE_HOST.sub(f"{MASK}@", text) if "@" in text else text


def public_address(address: str) -> str:
    """One address, known to be nothing else, as it may be printed: user and password masked, which may hold spaces,
    and without query and fragment."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "", address
    _, at, place = rest.rpartition("@")
    if not re.match(r"[^/?#@]*:", rest):  # a password may hold any character that ends one, a name alone may not
        at, place = ("@", rest.partition("@")[2]) if re.match(r"[^/?#@]*@", rest) else ("", rest)
    place = re.split(r"[?#]", place, maxsplit=1)[0]
    return " ".join(without_credentials(f"{scheme}{mark}{MASK + at if at else ''}{place}").split())


def _behind(found: re.Match[str]) -> str:
    """What stands before a secret, and the mask in its place."""
    return next(group for group in found.groups() if group is not None) + MASK


def _is_pair(encoded: str) -> bool:
    """Whether a word is `user:password` in base64, which a word of prose is not."""
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        return False
    return b":" in decoded and all(byte >= 0x20 for byte in decoded)


def _own_secrets() -> list[str]:
    """Passwords and keys in this process's environment, as they are written and as they are decoded; longest first."""
    found = {value for name, value in os.environ.items() if name in SECRETS or name.startswith(f"{KEY_VARIABLE}_")}
    for name in ADDRESSES:
        for value in (os.environ.get(name, ""), os.environ.get(name.lower(), "")):
            user, mark, _ = value.partition("://")[2].rpartition("@")
            if mark:
                found |= {user, user.partition(":")[2]}
    found |= {unquote(secret) for secret in found}
    telling = (secret for secret in found if len(secret) >= TELLING and not secret.isalpha())
    return sorted(telling, key=len, reverse=True)
