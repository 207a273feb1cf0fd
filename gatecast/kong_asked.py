"""What a control plane says of a gateway now, asked once over the stream. Called by `gatecast kong drift`."""

import asyncio
import os
import socket

from gatecast.about import version
from gatecast.exits import NotFound
from gatecast.kong import Told, channel
from kong_sync.model import TYPE_URLS, World
from kong_sync.sidecar import KINDS, decoded, with_shared
from tenants.errors import Refused, Unavailable
from xds.client import Client, Node, Update

PATIENCE = 10.0


async def asked(told: Told) -> World:
    """The world of this gateway, whole. Raises Unavailable if it does not come, Refused if it cannot be read."""
    xds, gateway = told.xds, told.gateway
    found, came, faults = World(), set[str](), list[str]()

    async def take(update: Update) -> str | None:
        nonlocal found
        kind = KINDS[update.type_url]
        if kind == "SHARED":
            found, unread = with_shared(found, update)
            faults.extend(one.text for one in unread)
        else:
            changes, refused = decoded(update)
            found = found.with_tenants(changes)
            faults.extend(refused.values())
        came.add(kind)
        if came == {*TYPE_URLS}:
            client.stop()
        return None

    node = Node(f"kong-drift@{socket.gethostname()}:{os.getpid()}", gateway, f"gatecast {version()}")
    client = Client(channel(told), node, take)
    for url in TYPE_URLS.values():
        client.subscribe(url)
    try:
        async with asyncio.timeout(PATIENCE):
            await client.run()
    except TimeoutError:
        raise Unavailable(f"{xds} did not say what holds on {gateway!r}: {client.failure or 'no answer'}") from None
    if faults:
        raise Refused(f"what {xds} says cannot be read: {faults[0]}")
    if found.gateway is None:
        raise Refused(f"{xds} has no gateway {gateway!r} with kong: true")
    if found.gateway.id != gateway:  # where there is one alone, it is told to everybody
        raise NotFound(f"{xds} has no gateway {gateway!r}, but {found.gateway.id!r}")
    return found
