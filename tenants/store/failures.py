"""Turns what drivers raise into what we say: `Unavailable` (again later) or `Refused` (something must change). Pure."""

import sqlite3
from typing import Literal
from urllib.parse import quote, quote_plus

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tenants.errors import GatecastError, Unavailable
from tenants.store.errors import Defect, Doubtful, Full, NotOurs

Stage = Literal["reading", "writing", "confirming"]
"""How far we were: whether something may have been written."""

_DOUBT: dict[Stage, str] = {
    "reading": "; ask again",
    "writing": "; nothing was written; ask again",
    "confirming": "; it may have been written or not: read it, or ask again with the same Idempotency-Key",
}
_DAMAGED = {
    "file is not a database": "it is no SQLite file: give another path",
    "database disk image is malformed": "it is damaged: restore a backup",
    "file is encrypted": "it is no SQLite file: give another path",
}
_STATES = {
    "53100": Full,  # disk_full
    "28P01": NotOurs,
    "28000": NotOurs,
    "3D000": NotOurs,
    "42501": NotOurs,
}
_ADVICE = {
    "28P01": "check the user and the password of the store's URL",
    "28000": "check the user of the store's URL and the server's pg_hba.conf",
    "3D000": "create the database first",
    "42501": "grant the role the right to create and write tables",
}


def told(error: Exception, url: URL, stage: Stage) -> GatecastError | None:
    """Our error for what went wrong; None if it did not come from the database."""
    place = url.render_as_string(hide_password=True).partition("?")[0]
    match error:
        case PoolTimeout():
            return Unavailable(f"the store {place} is busy: too many are waiting for it; ask again")
        case TimeoutError():
            return _kind(stage)(f"the store {place} does not answer in time{_DOUBT[stage]}")
        case OSError():
            return Unavailable(f"the store {place} cannot be reached: {(error.strerror or str(error)).lower()}")
        case sqlite3.Error():
            return _sqlite(error, str(error), place)
        case DBAPIError():
            return _driver(error, url, place, stage)
        case _:
            return None


def _driver(error: DBAPIError, url: URL, place: str, stage: Stage) -> GatecastError:
    orig = error.orig
    text = first_line(orig, url)
    if isinstance(orig, sqlite3.Error):
        return _sqlite(orig, text, place)
    state = getattr(orig, "sqlstate", None) or ""
    if made := _STATES.get(state):
        advice = _ADVICE.get(state, "free space on its disk; nothing was written")
        return made(f"the store {place}: {text}; {advice}")
    if type(error).__name__ in ("OperationalError", "InterfaceError", "InternalError") or error.connection_invalidated:
        if "authentication failed" in text or "no password supplied" in text:
            return NotOurs(f"the store {place}: {text}; {_ADVICE['28P01']}")
        if "does not exist" in text:
            return NotOurs(f"the store {place}: {text}; create the database and the role first")
        return _kind(stage)(f"the store {place}: {text}{_DOUBT[stage]}")
    return _defect(text)


def _sqlite(orig: sqlite3.Error, text: str, place: str) -> GatecastError:
    for sign, advice in _DAMAGED.items():
        if sign in text:
            return NotOurs(f"the store {place}: {advice}")
    if "is full" in text or "disk I/O error" in text:
        return Full(f"the store {place}: {text}; free space on its disk; nothing was written")
    if "locked" in text or "busy" in text:
        return Unavailable(f"the store {place} is busy: another process is writing to it; ask again")
    if "readonly" in text:
        return NotOurs(f"the store {place} may not be written to: check the rights on the file and its directory")
    return Unavailable(f"the store {place}: {text}") if isinstance(orig, sqlite3.OperationalError) else _defect(text)


def _defect(text: str) -> Defect:
    return Defect(f"the store refuses a statement: {text}; this is a defect of gatecast, please report it")


def _kind(stage: Stage) -> type[Unavailable]:
    return Doubtful if stage == "confirming" else Unavailable


def first_line(error: BaseException | None, url: URL) -> str:
    """What a driver says, without the password: drivers do not print it, and if one ever does, it is not shown."""
    text = str(error).strip().partition("\n")[0]
    password = str(url.password or url.query.get("password") or "")
    for spelling in {password, quote(password, safe=""), quote_plus(password)} - {""}:
        text = text.replace(spelling, "***")
    return text
