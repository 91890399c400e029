"""A center with tiny limits whose clock stands still, and callers that hold what they open."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

from central.home import open_registry
from fakes.artifacts import sealed
from fakes.attacks import channel_to, raw_call
from fakes.served_clock import center_with_clock, until
from transplant.artifact.chunks import chunk_of
from transplant.artifact.digest import sha256_hex
from transplant.rpc.channel import load_kit
from transplant.v1 import intake_pb2

IDLE_S, THREADS, STREAMS, CALLS = 5.0, 8, 3, 4
DECLARE, UPLOAD = "/transplant.v1.Intake/Declare", "/transplant.v1.Intake/Upload"
WATCH, DOWNLOAD = "/transplant.v1.Catalog/WatchEvents", "/transplant.v1.Catalog/Download"
STATUS = "/transplant.v1.Intake/UploadStatus"
F, PAYLOAD = sealed(site="site-dog", category="dog", seed=3)
LARGE_BYTES = 24 << 20
ZEROS_SHA256 = sha256_hex(bytes(LARGE_BYTES))
LARGE = sealed(site="site-dog", category="dog", seed=4)


class HeldCenter:
    """A center with tiny limits, a clock that stands still, and one module in its store."""

    def __init__(self, center, clock, stack):
        self.center, self.clock, self.stack = center, clock, stack
        self.server = center.serving._server
        self.patience = self.server._limits.patience
        self.limited = self.server._limits.calls
        self.kits = {name: kit_of(center, name) for name in ("site-dog", "site-cat")}
        self.upload_id = center.client("site-dog").declare(F).upload_id
        self.calls = []  # gRPC cancels a call that nobody holds
        self.silence = threading.Event()
        stack.callback(self.silence.set)

    def channel(self, name="site-dog"):
        return self.stack.enter_context(channel_to(self.kits[name], self.center.serving.address))

    def silent(self, *messages):
        """Yield the messages, and then nothing for ever."""
        yield from messages
        self.silence.wait()

    def hold(self, method, *messages, name="site-dog"):
        """Open a call that sends no more than the messages, and wait until the server works on it."""
        before = self.under_way
        call = raw_call(self.channel(name), method, self.silent(*messages))
        self.calls.append(call)
        until(lambda: self.under_way > before)
        return call

    def press(self, method, *messages, name):
        """Open a call that sends no more than the messages, and wait until it has a place or was turned away.

        Whoever gives way to it has gone then, too, and knows it: the end of a call reaches its caller a
        moment after the server has let go of it.
        """
        if name not in self.kits:
            self.kits[name] = kit_of(self.center, name)
        before = set(self.limited.all)
        call = raw_call(self.channel(name), method, self.silent(*messages))
        self.calls.append(call)
        until(lambda: set(self.limited.all) - before or not call.is_active())
        until(lambda: not any(open_call.leaving for open_call in self.limited.all))
        until(lambda: sum(each.is_active() for each in self.calls) == self.under_way)
        return call

    def held_by(self, name):
        """Tell how many calls of a site the server works on."""
        return sum(open_call.who.name == name for open_call in self.limited.all)

    @property
    def under_way(self):
        return len(self.limited.all)

    def idle(self):
        """Let the time pass that a caller may be idle, again and again, until nobody is left."""

        def gone():
            if self.patience.waiting:
                self.clock.advance(IDLE_S + 0.1)
            return self.under_way == 0

        until(gone)

    def asked_now(self):
        """Tell whether the server began to wait for its only caller at this very moment of its clock."""
        return [call.since_s for call in self.limited.all] == [self.clock.monotonic_s()]


def kit_of(center, name):
    folder = center.home / "kits" / f"site-{name}"
    return load_kit(folder if folder.exists() else center.kit(name, categories=(name[5:],)))


@contextmanager
def held_center(home):
    """Yield a center with tiny limits, and its clock."""
    few = {"threads": THREADS, "caller_idle_s": IDLE_S, "open_uploads": 2}
    with center_with_clock(home, **few) as (center, clock):
        yield center, clock


@contextmanager
def callers_of(center, clock):
    """Yield the callers of one test; at its end nothing that they have opened may be left."""
    with ExitStack() as stack:
        made = HeldCenter(center, clock, stack)
        yield made
    until(lambda: made.under_way == 0)


def chunk_request(world, offset, data):
    chunk = chunk_of(offset, data)
    return intake_pb2.UploadRequest(
        upload_id=world.upload_id, offset=offset, data=chunk.data, crc32c=chunk.crc32c
    ).SerializeToString()


def big_module(world):
    """Register a module of many messages past its upload, and return its id."""
    center = world.center.serving._center
    manifest = LARGE[0].model_copy(update={"payload_bytes": LARGE_BYTES, "payload_sha256": ZEROS_SHA256})
    registry = open_registry(world.center.settings)
    try:
        with registry.write() as books:
            if not books.modules.has(manifest.module_id):
                books.modules.add(manifest, world.clock.now())
    finally:
        registry.close()
    if not center.store.has(manifest.payload_sha256):
        source = world.center.home / "large"
        with source.open("wb") as file:
            file.truncate(LARGE_BYTES)
        center.store.put_file(source, manifest.payload_sha256)
    return manifest.module_id
