"""Old revisions are forgotten by a running server, as far as its settings say."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from ledgers import until
from stores import DANA, QUICK, put

from gatecast.forgetting import forget
from tenants.errors import Unavailable
from tenants.store import Head, Keep, Store


async def test_old_revisions_go_at_the_start_and_the_store_may_be_away_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune, tries = Store.prune, iter((Unavailable("away"), ValueError("a defect")))

    async def sometimes(*given: object) -> int:
        if error := next(tries, None):
            raise error
        return await prune(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "prune", sometimes)
    async with await Store.open(f"sqlite:///{tmp_path}/store.db", pace=QUICK) as store:
        for n in range(5):
            await store.commit([put(n=n)], DANA)
        with structlog.testing.capture_logs() as logs:
            task = asyncio.create_task(forget(store, Keep(2, timedelta(0)), every=0.01))
            await until(lambda: any(one["event"] == "end of the audit" for one in logs), "revisions to go")
            task.cancel()
            await asyncio.wait({task})
        levels = [(one["log_level"], one["event"]) for one in logs[2:4]]
        assert [one["log_level"] for one in logs[:2]] == ["warning", "error"]
        assert levels == [("info", "old revisions are forgotten"), ("info", "end of the audit")]
        assert [one.number for one in await store.revisions()] == [5, 4]
        (entry,) = [one for one in await store.audit.entries() if one.action == "prune"]
        assert (entry.actor, json.loads(entry.details)["count"]) == ("gatecast", 3)
        seq, _, hash = logs[3]["noted"].partition(":")
        assert not (await store.audit.verify(Head(int(seq), hash))).problems
