"""What a sidecar was told, in a file: after a restart only what differs comes.
Called by `gatecast.kong`.

The file is written at an orderly end. It may be old: versions go by resource, and the server says
what is newer. It is used only if Kong holds just what it comes to (see `usable`), else all is asked for afresh.
"""

import base64
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from kong_sync.model import TYPE_URLS, World, shared, tenant
from tenants.errors import Refused
from xds.client import Update

FORMAT = 1
Resources = dict[str, dict[str, tuple[str, bytes]]]
"""Type URL -> name -> version and body."""


class Kept:
    """The resources that were accepted. `apply` stands before the sidecar's."""

    def __init__(self, apply: Callable[[Update], Awaitable[str | None]], file: Path, gateway: str) -> None:
        self.resources: Resources = {url: {} for url in TYPE_URLS.values()}
        self._apply, self._file, self._gateway = apply, file, gateway

    async def apply(self, update: Update) -> str | None:
        """As the sidecar; what it accepts is kept."""
        verdict = await self._apply(update)
        if verdict is None:
            held = self.resources[update.type_url]
            held.update({one.name: (one.version, one.body) for one in update.resources})
            for name in update.removed:
                held.pop(name, None)
        return verdict

    def versions(self, type_url: str) -> Mapping[str, str]:
        """What the server is told that we hold."""
        return {name: version for name, (version, _body) in self.resources[type_url].items()}

    def load(self) -> World | None:
        """The world of the file; None without one, or with one that is of no use."""
        try:
            said = json.loads(self._file.read_bytes())
            if (said["format"], said["gateway"]) != (FORMAT, self._gateway):
                return None
            found = {
                url: {name: (version, base64.b64decode(body)) for name, (version, body) in said["types"][url].items()}
                for url in self.resources
            }
            made = world(found)
        except (OSError, ValueError, KeyError, TypeError, Refused):
            return None
        self.resources = found
        return made

    def forget(self) -> None:
        """Ask for everything."""
        self.resources = {url: {} for url in self.resources}

    def save(self) -> None:
        """Replace the file. Its reader is we alone: settings may name what is nobody's business."""
        types = {
            url: {name: (version, base64.b64encode(body).decode()) for name, (version, body) in rows.items()}
            for url, rows in self.resources.items()
        }
        beside = self._file.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"format": FORMAT, "gateway": self._gateway, "types": types}, file)
        beside.rename(self._file)


def world(resources: Resources) -> World:
    """What these resources say. Raises Refused."""
    made = World()
    for name, (_version, body) in resources[TYPE_URLS["SHARED"]].items():
        made = made.with_shared(name, shared(body))
    found = {name: tenant(body) for name, (_version, body) in resources[TYPE_URLS["TENANTS"]].items()}
    return made.with_tenants(found)
