"""An HTTP service that says what it was asked: the upstream of the demo and of `compose.yaml`.

python -m gatecast.echo orders 127.0.0.1:9001
"""

import asyncio
import json
import sys

from starlette.types import ASGIApp, Receive, Scope, Send

from gatecast.addresses import Address
from gatecast.web import serving


def echo(name: str) -> ASGIApp:
    """A service of this name. It answers JSON: its name, the method, the path and the headers as they arrived."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        said = {"service": name, "method": scope["method"], "path": scope["path"], "headers": headers}
        start = [(b"content-type", b"application/json"), (b"x-service", name.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": json.dumps(said).encode() + b"\n"})

    return app


async def _forever(name: str, address: Address) -> None:
    async with serving(echo(name), address):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_forever(sys.argv[1], Address.parse(sys.argv[2])))
