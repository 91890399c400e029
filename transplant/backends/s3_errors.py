"""One translation of what the S3 client raises. It tells status and code in the text of its errors only."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from transplant.errors import InvalidSettings, NotFound, StorageFull, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,80})</Code>")
_NO_ROOM = {
    "507",
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
    "InsufficientStorage",
}
_LONGEST = 300


@contextmanager
def s3_errors(store: str, sha256: str = "") -> Generator[None]:
    """Translate what the client raises.

    Args:
        store: the store's URL, for messages.
        sha256: of the blob that is read; "" where the answer "not found" cannot mean a blob.

    Raises:
        NotFound: if there is no such blob.
        StorageFull: if the store says that it is full.
        StoreUnavailable: if it does not answer, answers with an error of its own, or refuses us.
    """
    try:
        yield
    except FileNotFoundError as error:
        if sha256 and "NoSuchBucket" not in str(error):
            raise NotFound(f"there is no blob {sha256}") from error
        raise StoreUnavailable(f"the blob store {store} is not there: {_reason(error)}") from error
    except BaseError as error:
        told = {*_STATUS.findall(str(error)), *_CODE.findall(str(error))}
        if told & _NO_ROOM:
            raise StorageFull(f"the blob store {store} is full: {_reason(error)}") from error
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            raise StoreUnavailable(
                f"the blob store {store} refuses us: {_reason(error)}; check the AWS_* variables and that "
                "they may list, read, write and delete there"
            ) from error
        raise StoreUnavailable(f"the blob store {store} does not answer: {_reason(error)}") from error


@contextmanager
def s3_configuration(store: str) -> Generator[None]:
    """Translate what the client says about an address that it cannot use.

    Raises:
        InvalidSettings: if an option of the URL or an `AWS_*` variable is not one.
    """
    try:
        yield
    except (BaseError, ValueError, TypeError) as error:
        raise InvalidSettings(f"the blob store {store} cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what happened, on one line: the code that the server gave, or the client's first words."""
    codes = _CODE.findall(str(error))
    first = str(error).partition("\n")[0].partition("<?xml")[0].strip()
    return f"{codes[0]}: {first}"[:_LONGEST] if codes else first[:_LONGEST]
