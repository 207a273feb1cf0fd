"""A process that writes to a store as fast as it can until it is killed; forked, so that it starts at once."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from stores import DANA, put

from tenants.store import Store

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["storms", "aiosqlite", "psycopg", "sqlalchemy.dialects.sqlite.aiosqlite"])


def write_forever(url: str, said: Connection) -> None:
    """Write two documents that always agree, and say the number of each revision that was acknowledged."""
    asyncio.run(_write(url, said))


async def _write(url: str, said: Connection) -> None:
    async with await Store.open(url) as store:
        n = await store.revision()
        while True:
            n += 1
            body = {"n": n, "padding": "x" * (n * 997 % 20_000)}
            done = await store.commit([put("first", **body), put("second", **body)], DANA)
            said.send(done.revision)


class Storm:
    """The process, and the newest revision it was told is safe."""

    def __init__(self, url: str) -> None:
        self.said, theirs = _FORKS.Pipe(duplex=False)
        self.process = _FORKS.Process(target=write_forever, args=(url, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.acknowledged = 0

    def hear(self, count: int) -> None:
        """Wait for so many more."""
        for _one in range(count):
            assert self.said.poll(30), "the process says nothing"
            self.acknowledged = self.said.recv()

    def kill(self) -> None:
        """SIGKILL; what it had still said is heard."""
        self.process.kill()
        self.process.join(30)
        try:
            while True:
                self.acknowledged = self.said.recv()
        except (EOFError, OSError):
            self.said.close()


@contextmanager
def storm(url: str) -> Iterator[Storm]:
    """A process that writes until it is killed, at the latest when the block ends."""
    made = Storm(url)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.join(30)
