"""Stores of objects: options of access, and errors that pass if one tries again."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from schemas.base import Contract
from schemas.problems import Problem
from schemas.secrets import redacted

Result = TypeVar("Result")

ATTEMPTS = 5  # beside what a store's own library tries again
PAUSE = 0.5  # seconds after the first attempt; doubled after each

_S3, _GCS, _AZURE = ("s3", "s3a"), ("gs", "gcs"), ("abfs", "abfss", "az")
# Statuses of HTTP that say: later.
_LATER = frozenset({408, 425, 429})
_DENIED = frozenset({401, 403})
_BUSY = frozenset(
    {errno.EBUSY, errno.EIO, errno.ETIMEDOUT, errno.EPIPE, errno.EREMOTEIO}
    | {errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH}
)
_NETWORK = ("aiohttp", "botocore", "azure", "gcsfs", "httpx", "requests", "urllib3")
_NO_CREDENTIALS = re.compile(r"Credential|^TokenRetrievalError$|^ClientAuthenticationError$")


class Storage(Contract):
    """How a store of objects is asked. It decides no byte, so that no fingerprint holds it."""

    anonymous: bool = Field(
        False, description="Ask without credentials, as public buckets allow (`s3`, `gs`, `abfs`)."
    )
    requester_pays: bool | str = Field(
        False,
        description="Pay for the requests to a bucket whose owner does not (`s3`, `gs`); on `gs` "
        "also the project that pays.",
    )

    def options(self, url: str) -> dict[str, Any]:
        """What fsspec's file system of a URL is made with. Raises ValueError if it knows no such
        option."""
        scheme = urlsplit(url).scheme
        options: dict[str, Any] = {}
        if self.anonymous:
            if scheme not in (*_S3, *_GCS, *_AZURE):
                raise ValueError("`anonymous` is for `s3://`, `gs://` and `abfs://`: leave it out")
            options |= {"token": "anon"} if scheme in _GCS else {"anon": True}
        if self.requester_pays:
            if scheme not in (*_S3, *_GCS):
                raise ValueError("`requester_pays` is for `s3://` and `gs://`: leave it out")
            is_project = scheme in _GCS
            options["requester_pays"] = self.requester_pays if is_project else True
        return options


def steadily(place: str, operation: Callable[[], Result]) -> Result:
    """What an operation on a store gives, which is tried again if its error may pass.

    The operation must be one that can be done twice. Raises FileNotFoundError and FileExistsError
    as they are, and Problem with `place` for all else that a store or the way to it may refuse.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return operation()
        except Exception as error:
            if not _passes(error):
                missing = isinstance(error, FileNotFoundError) and _status(error) not in _DENIED
                if missing or isinstance(error, FileExistsError | Problem):
                    raise
                raise _refused(place, error) from None
            if attempt == ATTEMPTS:
                mend = "the same command goes on from what is done, once the store answers"
                # fsspec tells a lost connection as a file that is not there
                last = error.__cause__ if isinstance(error, FileNotFoundError) else error
                told = reason(last or error)
                what = f"the store failed {ATTEMPTS} times, the last time with: {told}"
                raise Problem(what, redacted(place), mend) from None
        pause = PAUSE * 2 ** (attempt - 1)
        time.sleep(random.uniform(pause / 2, pause))  # noqa: S311
    raise AssertionError("unreachable")


def reason(error: BaseException) -> str:
    """An error in a line, without secrets."""
    return redacted(" ".join(str(error).split()) or type(error).__name__)


def _refused(place: str, error: Exception) -> Exception:
    """A lasting error as a Problem, or as it is if it is none of a store."""
    status = _status(error)
    names = [type(each).__name__ for each in _chain(error)]
    if (
        isinstance(error, PermissionError)
        or status in _DENIED
        or str(error).startswith("Forbidden")  # gcsfs tells it in words alone
        or any(map(_NO_CREDENTIALS.search, names))
    ):
        mend = (
            "look after the store's credentials, or, if it is public, ask with "
            "`storage: {anonymous: true}`"
        )
        return Problem(f"access is denied: {reason(error)}", redacted(place), mend)
    if status is not None or isinstance(error, OSError) or _is_network(error):
        return Problem(f"the store refuses: {reason(error)}", redacted(place))
    return error


def _passes(error: BaseException) -> bool:
    """Whether the same may succeed later: throttling, a fault of the server, a cut connection."""
    status = _status(error)
    if status is not None:
        return status >= 500 or status in _LATER
    if isinstance(error, Problem) or any(
        _NO_CREDENTIALS.search(type(each).__name__) for each in _chain(error)
    ):
        return False
    if isinstance(error, FileNotFoundError):  # fsspec tells every fault of an HTTP server so
        return error.__cause__ is not None and _is_network(error.__cause__)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _BUSY
    lost = isinstance(error, TimeoutError | ConnectionError | EOFError)
    forbidden = str(error).startswith("Forbidden")
    return lost or (_is_network(error) and not forbidden)


def _is_network(error: BaseException) -> bool:
    module = type(error).__module__.partition(".")[0]
    return module in _NETWORK


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it comes from."""
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        yield here
        here = here.__cause__


def _status(error: BaseException) -> int | None:
    """The status of HTTP behind an error, as each library holds it."""
    for each in _chain(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore's
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            values = (getattr(each, name, None) for name in ("status", "status_code", "code"))
            found = next((v for v in values if v is not None), None)
            found = getattr(response, "status_code", None) if found is None else found
        if str(found).isdecimal() and int(str(found)) >= 300:
            return int(str(found))
    return None


def cache_folder() -> Path:
    """Where copies of what is stored elsewhere are kept on the local disk."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gristmill"
