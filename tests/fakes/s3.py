"""An S3 server of the tests' own: moto's, in this process, with a new bucket for whoever asks."""

from __future__ import annotations

import itertools
import logging
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_REGION": "us-east-1",
    "NO_PROXY": "127.0.0.1",
}

_NUMBERS = itertools.count(1)  # all servers of a process have the same buckets


class S3Server:
    """One server; its endpoint and its buckets."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def new_bucket(self) -> str:
        """Make a bucket and return a store URL in it."""
        name = f"blobs-{next(_NUMBERS)}"
        _call(f"{self.endpoint}/{name}", "PUT")
        return f"s3://{name}/center/store?endpoint={self.endpoint}"

    def overwrite(self, store_url: str, sha256: str, data: bytes) -> None:
        """Damage an object of a store."""
        bucket = store_url.removeprefix("s3://").partition("/")[0]
        store = S3Store(bucket, endpoint=self.endpoint, client_options={"allow_http": True})
        obstore.put(store, f"center/store/{sha256[:2]}/{sha256}", data)

    def unfinished(self, store_url: str) -> bool:
        """Tell whether a multipart upload was begun and neither completed nor aborted."""
        bucket = store_url.removeprefix("s3://").partition("/")[0]
        return b"<Upload>" in _call(f"{self.endpoint}/{bucket}?uploads", "GET")


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run moto's server."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Run a server that gives one answer to everything but listings, which are empty; yield its endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            listing = "list-type" in self.path
            text = (
                b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" if listing else body
            )
            self.send_response(200 if listing else status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def do_HEAD(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def set_credentials(patch: pytest.MonkeyPatch) -> None:
    """Set what a client needs, in place of what the machine's environment says."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        patch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        patch.setenv(name, value)


def _call(url: str, method: str) -> bytes:
    request = urllib.request.Request(url, method=method)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return answer.read()
