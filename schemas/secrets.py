"""Secrets in URLs: passwords, tokens and signatures, which are neither kept nor shown."""

from __future__ import annotations

import re

_USER = re.compile(r"(?<=://)[^/?#@\s]*:[^/?#@\s]*@|(?:(?<=http://)|(?<=https://))[^/?#@\s]+@")
_SIGNED = re.compile(
    r"((?:^|[?&;\s])(?:x-(?:amz|goog)-[\w-]+|awsaccesskeyid|googleaccessid|signature|sig|policy"
    r"|key-pair-id|accountkey|sharedaccesssignature|[\w-]*(?:token|secret|password)"
    r"|api_?key|key|auth\w*|credentials?)=)[^&;#\s\"'<>)]+",
    re.IGNORECASE,
)


def has_secret(url: str) -> bool:
    """Whether a URL holds a password, a token or a signature."""
    return redacted(url) != url


def redacted(text: str) -> str:
    """The text without passwords, tokens and signatures of the URLs in it."""
    return _SIGNED.sub(r"\1...", _USER.sub("...@", text))


def without_secret(url: str) -> str:
    """The URL. Raises ValueError if it holds a secret: what users write is kept with a run."""
    if has_secret(url):
        raise ValueError(
            "a URL must not hold a password, a token or a signature: leave it to the usual place "
            "of the store's credentials"
        )
    return url
