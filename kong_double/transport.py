"""The double's Admin API for an httpx client without a socket in between: `Double` by `connected(transport=...)`.

For tests that make thousands of calls. Faults come to pass as on a network: a connection that is cut is a ReadError, an
answer that would come too late a ReadTimeout, at once.
"""

import httpx

from kong_double.double import Double
from kong_double.wire import Request


class Direct(httpx.AsyncBaseTransport):
    """Calls go straight to this double."""

    def __init__(self, double: Double) -> None:
        self._double = double

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = tuple((name.decode(), value.decode()) for name, value in request.headers.raw)
        sent = Request(request.method, request.url.raw_path.decode(), headers, await request.aread())
        fault = self._double.faults.next(sent)
        limit = (request.extensions.get("timeout") or {}).get("read")
        late = limit is not None and fault.delay > limit
        if not late and fault.delay:
            await self._double.sleep(fault.delay)
        told = None if late and not fault.done else self._double.carry_out(sent, fault)
        if late:
            raise httpx.ReadTimeout("late", request=request)
        if told is None:
            raise httpx.ReadError("cut", request=request)
        return httpx.Response(told.status, headers=list(told.headers), content=told.body, request=request)
