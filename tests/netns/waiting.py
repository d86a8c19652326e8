"""Waiting by polling, with a generous bound that only fails the case.

No bound here says anything about speed: each is many times what a loaded
machine needs, and exists so that a case that can no longer pass ends.
"""

import threading
import time

bound = 90.0
"""Seconds after which a condition that did not come true fails the case."""

interrupted = threading.Event()
"""Set when the whole run is to end; every wait then fails at once."""


class Failure(Exception):
    """The case failed, with the reason as text."""


class NotApplicable(Exception):
    """The daemon cannot do what the case needs; the text is its own words."""


def pause(seconds):
    """Sleeps, unless the run is interrupted."""
    if interrupted.wait(seconds):
        raise Failure("interrupted")


def wait_for(what, condition, every=0.1):
    """Polls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + bound
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"{what}: still not after {bound:.0f} s (last seen: {value!r})")
        pause(every)


def never_while(what, forbidden, until, every=0.1):
    """Polls `until` like `wait_for`, and fails as soon as `forbidden` is true."""
    def step():
        if forbidden():
            raise Failure(f"must not happen, but did: {what}")
        return until()
    return wait_for(f"the end of the wait in which it must not happen: {what}", step, every)


def check(condition, what):
    """Fails the case with `what` unless `condition` is true."""
    if not condition:
        raise Failure(what)
