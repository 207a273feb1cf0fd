"""The route that tells what happens, as Server-Sent Events; each is a CloudEvent in JSON."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from gatecast.events import Event, Feed, Place, of_revision
from gatecast.faults import Error

BEAT: Final = 15.0
"""Seconds without an event after which a comment says that the connection lives."""
LISTENERS: Final = 100
SOURCE: Final = "/gatecast"
MEDIA: Final = "text/event-stream"


def routes(feed: Feed) -> APIRouter:
    """Of this feed."""
    router = APIRouter(tags=["events"])
    listening = 0

    @router.get(
        "/events", response_class=StreamingResponse,
        responses={200: {"content": {MEDIA: {}}, "description": "Server-Sent Events; data is a CloudEvent"}},
        openapi_extra={"parameters": [{
            "name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"},
            "description": "the id of the last event one has; what came after it is told",
        }]},
    )  # fmt: skip
    async def events(request: Request) -> StreamingResponse:
        """What happens from now on, or since `Last-Event-ID`. `event: reset`: something was missed, so read anew."""
        nonlocal listening
        if listening >= LISTENERS:
            raise Error(503, "too_many_listeners", f"{LISTENERS} listen already", retry_after="15")
        parts = _told(feed, request.headers.get("last-event-id", ""))

        async def counted() -> AsyncIterator[str]:
            nonlocal listening
            listening += 1
            try:
                async for part in parts:
                    yield part
            finally:
                listening -= 1

        return StreamingResponse(counted(), media_type=MEDIA, headers={"x-accel-buffering": "no"})

    return router


async def _told(feed: Feed, last: str) -> AsyncIterator[str]:
    yield "retry: 3000\n\n"
    number = feed.newest
    if last:
        known = Place.parse(last)
        if known and known.epoch == feed.epoch and feed.after(known.number) is not None:
            number = known.number
        else:
            async for part in _resumed(feed, known):
                yield part
    while not feed.ended:
        found, number = feed.after(number), feed.newest
        if found is None:
            yield _reset(feed)
        for one in found or ():
            yield _line(one)
        if not await _rung(feed, number):
            yield ": still here\n\n"


async def _resumed(feed: Feed, known: Place | None) -> AsyncIterator[str]:
    """For who comes from another server, or was away for long: the revisions, and that there was more."""
    yield _reset(feed)
    if known is None or feed.ledger is None or known.revision >= feed.revision:
        return
    for one in await feed.missed(feed.ledger, known.revision, feed.revision):
        kind, subject, data = of_revision(one)
        place = Place(one.number, feed.epoch, feed.newest)
        yield _line(Event(place, kind, subject, feed.wall(), data))


async def _rung(feed: Feed, number: int) -> bool:
    """Whether there is more; False after a silence."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BEAT):
            await feed.more(number)
            return True
    return False


def _reset(feed: Feed) -> str:
    return f"id: {feed.place}\nevent: reset\ndata: {{}}\n\n"


def _line(one: Event) -> str:
    said = one.as_json(SOURCE)
    return f"id: {one.place}\nevent: {said['type']}\ndata: {json.dumps(said, separators=(',', ':'))}\n\n"
