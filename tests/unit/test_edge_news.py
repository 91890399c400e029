"""Pauses of a site that waits for its center: news shorten them, silence and refusals do not break them."""

import queue
import threading
import time

from edge.news import News
from transplant.errors import QuotaExceeded
from transplant.rpc.messages import Event

_LONG_S = 60.0
_SOON_S = 20.0


class _Center:
    def __init__(self):
        self.events = queue.SimpleQueue()
        self.asked = []

    def watch_events(self, after=0):
        self.asked.append(after)
        while True:
            event = self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event


def _tell(center, number):
    center.events.put(Event(number, "MergeMoved", "key", "validating"))


def test_news_end_a_pause():
    center = _Center()
    with News(center) as news:
        _tell(center, 1)
        began_s = time.monotonic()
        news.wait(_LONG_S, threading.Event())
        assert time.monotonic() - began_s < _SOON_S


def test_silence_lasts_as_long_as_the_pause():
    with News(_Center()) as news:
        began_s = time.monotonic()
        news.wait(0.05, threading.Event())
        assert time.monotonic() - began_s >= 0.05


def test_a_site_that_is_stopped_does_not_wait():
    stopped = threading.Event()
    stopped.set()
    with News(_Center()) as news:
        began_s = time.monotonic()
        news.wait(_LONG_S, stopped)
        assert time.monotonic() - began_s < _SOON_S


def test_a_refusal_is_asked_about_again_behind_the_last_event():
    center = _Center()
    with News(center, again_s=0.01) as news:
        _tell(center, 7)
        news.wait(_LONG_S, threading.Event())
        center.events.put(QuotaExceeded("48 streams are watching already"))
        _tell(center, 8)
        news.wait(_LONG_S, threading.Event())
    assert center.asked == [0, 7]
