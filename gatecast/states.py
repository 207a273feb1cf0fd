"""The state of one client for one type, in the operators' words. Pure; `gatecast.views` shows it, `gatecast.telemetry`
counts it.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from xds.hub import Client
from xds.interest import Interest

LATE = 30.0
"""Seconds without an answer after which a client is not slow but stale: twice Envoy's own warming time."""


class State(StrEnum):
    """Where a client stands with what we sent it."""

    SYNCED = "SYNCED"
    PENDING = "PENDING"
    STALE = "STALE"
    REJECTED = "REJECTED"
    NOT_SUBSCRIBED = "NOT_SUBSCRIBED"


class Sort(StrEnum):
    """What a client is."""

    ENVOY = "envoy"
    KONG = "kong"
    RATELIMIT = "ratelimit"
    OTHER = "other"


WORST_FIRST = (State.REJECTED, State.STALE, State.PENDING, State.SYNCED, State.NOT_SUBSCRIBED)


def state(interest: Interest, now: float, late: float = LATE) -> State:
    """`now` is on the stream machine's clock.

    REJECTED as long as the newest content of something is refused, also while its parts are tried again.
    """
    if not (interest.started and (interest.wildcard or interest.names)):
        return State.NOT_SUBSCRIBED
    if interest.parked or interest.trials:
        return State.REJECTED
    if interest.sent is not None:
        return State.STALE if now - interest.sent.at > late else State.PENDING
    return State.PENDING if interest.pending else State.SYNCED


def worst(states: frozenset[State]) -> State:
    """One word for a client: the worst of its types."""
    return next((one for one in WORST_FIRST if one in states), State.NOT_SUBSCRIBED)


def sort(client: Client) -> Sort:
    """By its program, or by what it asks for: a rate limit service says no more of itself than an id."""
    program = client.node.build.lower()
    if program.startswith("envoy"):
        return Sort.ENVOY
    if program.startswith("gatecast") and " kong " in program:
        return Sort.KONG
    interests = client.machine.interests
    return Sort.RATELIMIT if "RLS" in interests and interests["RLS"].started else Sort.OTHER


def standing(clients: Iterable[Client], now: float) -> Counter[tuple[str, State]]:
    """How many clients of each gateway have this as their worst state."""
    return Counter(
        (one.gateway, worst(frozenset(state(interest, now) for interest in one.machine.interests.values())))
        for one in clients
    )


def oldest(clients: Iterable[Client], now: float) -> dict[tuple[str, str], float]:
    """By gateway and kind, the age in seconds of the oldest response that no answer came to; none, no entry."""
    ages: dict[tuple[str, str], float] = {}
    for one in clients:
        for kind, interest in one.machine.interests.items():
            if interest.sent is not None:
                place = one.gateway, kind
                ages[place] = max(ages.get(place, 0.0), now - interest.sent.at)
    return ages
