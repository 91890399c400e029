"""Where an S3-compatible store is: `s3://bucket/prefix`, with an endpoint where it is not Amazon's.

No credentials here: they come from the usual `AWS_*` environment, so that a store's URL can be shown,
saved and sent to a worker. Nothing of an S3 client is imported: settings are checked with this.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from transplant.errors import InvalidSettings

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_OPTIONS = ("endpoint", "region")


@dataclass(frozen=True)
class S3Address:
    """A bucket, the beginning of every key in it, and how to reach it ("": as the environment says)."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}{'/' if self.prefix else ''}{self.prefix}"


def parse_s3_url(url: str) -> S3Address:
    """Read `s3://bucket[/prefix][?endpoint=https://host[:port]][&region=name]`.

    Raises:
        InvalidSettings: if it is another thing, or carries credentials, which belong in the environment.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise InvalidSettings(
            "a store URL must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    options = parse_qsl(parts.query, keep_blank_values=True)
    given = dict(options)
    unknown = sorted(set(given) - set(_OPTIONS))
    if unknown or len(given) < len(options) or parts.fragment:
        raise InvalidSettings(
            f"a store URL may say {' and '.join(_OPTIONS)} once each, not {', '.join(unknown) or 'more'}"
        )
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc):
        raise InvalidSettings(f"{parts.netloc!r} is not a bucket: a store URL is s3://bucket/prefix")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise InvalidSettings(f"{prefix!r} is not a prefix: use letters, digits, dots, dashes and slashes")
    endpoint = given.get("endpoint", "").rstrip("/")
    if endpoint:
        _check_endpoint(endpoint)
    return S3Address(parts.netloc, prefix, endpoint, given.get("region", ""))


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.query:
        raise InvalidSettings("the endpoint of a store URL is http(s)://host[:port], without credentials")
