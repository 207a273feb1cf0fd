"""What is done for the store every hour: forget revisions that need not be kept any more, and note in the log where the
audit ends, which is kept elsewhere then. `gatecast.serve` runs it.
"""

import asyncio

import structlog

from tenants.errors import Unavailable
from tenants.store import By, Keep, Store

EVERY = 3600.0  # seconds between two looks
BY = By("gatecast", "server", "kept long enough")

log = structlog.get_logger("gatecast")


async def forget(store: Store, keep: Keep, every: float = EVERY) -> None:
    """Forget what is too old, and note the end of the audit, now and every so many seconds, until cancelled."""
    while True:
        try:
            if count := await store.prune(keep, BY):
                log.info("old revisions are forgotten", count=count)
            if (end := await store.audit.head()).seq:
                log.info("end of the audit", noted=f"{end.seq}:{end.hash}")
        except Unavailable as error:
            log.warning("old revisions are kept, and the audit is not noted: the store is away", error=str(error))
        except Exception:
            log.exception("old revisions could not be forgotten: this is a defect of gatecast, please report it")
        await asyncio.sleep(every)
