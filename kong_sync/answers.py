"""What a Kong's answers mean: who it is, which of our entities it refuses and why, whether to ask again. Pure.

Called by `kong_sync.admin` for each answer. Shapes of the errors: the transcripts, and `research/kong.md` 1.3 and 1.4.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kong_sync.entities import KINDS, Entity, Kind, label, tenant
from tenants.errors import Problem, Refused, Unavailable

CODE = "GC902"
SUPPORTED = ((3, 4), (3, 9))
"""The oldest and the newest version, by its first two numbers, that we are tested with."""
SLACK = 0.5
"""Seconds on top of the timers, for the rebuild (`research/kong-mapping.md` C2)."""
AGAIN = frozenset({429, 500, 502, 503, 504})
EMPTY_HASH = "0" * 32
BAD_OFFSET = 7
HINTS: Mapping[int, str] = MappingProxyType(
    {
        401: "give the token of an administrator in GATECAST_KONG_TOKEN, which is sent as Kong-Admin-Token",
        403: "the token's role may not do this",
        405: "this Kong has no database: it takes whole configurations only",
        409: "another entity of this Kong has the same key: rename one, or tag it as ours",
        413: "raise nginx_admin_client_max_body_size and client_body_buffer_size, or lmdb_map_size, in Kong",
    }
)


class KongRefused(Refused):
    """Kong does not take it as it is. `problems` says what is wrong with which entity, in Kong's words."""

    def __init__(self, status: int, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(one) for one in problems))
        self.status, self.problems = status, problems


class Missing(KongRefused):
    """There is no such entity, or the one it is to be changed below is gone."""


class Conflict(KongRefused):
    """Another entity has the same key. Once it may be a race; if it stays, it is a namesake."""


class LostPlace(KongRefused):
    """A listing cannot go on from where it was; it can begin anew."""


class Busy(Unavailable):
    """Kong or what is in front of it cannot answer now. `after`: seconds that it asked us to wait."""

    def __init__(self, said: str, after: float = 0.0) -> None:
        super().__init__(said)
        self.after = after


@dataclass(frozen=True, slots=True)
class About:
    """What `GET /` says. `state` and `poll` are the periods in seconds of the two ways in which a change spreads."""

    version: str
    edition: str
    database: str
    flavor: str
    role: str
    plugins: frozenset[str]
    state: float
    poll: float

    @property
    def dbless(self) -> bool:
        return self.database == "off"

    @property
    def wait(self) -> float:
        """Seconds after which a change is effective on the node that was written to."""
        return 0.0 if self.dbless else self.state + SLACK

    @property
    def wait_everywhere(self) -> float:
        """The same for every node on the database."""
        return 0.0 if self.dbless else self.poll + self.state + SLACK


def about(body: Mapping[str, Any]) -> About:
    """Read `GET /`. Raises Refused if somebody else answered."""
    if not isinstance(body, Mapping) or not isinstance(body.get("configuration"), Mapping):
        raise Refused("this is no Admin API of Kong: its answer to GET / has no configuration")
    config = body.get("configuration") or {}
    return About(
        version=str(body.get("version", "")),
        edition=str(body.get("edition", "community")),
        database=str(config.get("database", "")),
        flavor=str(config.get("router_flavor", "")),
        role=str(config.get("role", "traditional")),
        plugins=frozenset((body.get("plugins") or {}).get("available_on_server") or ()),
        state=float(config.get("worker_state_update_frequency", 5)),
        poll=float(config.get("db_update_frequency", 5)),
    )


def doubts(kong: About) -> tuple[str, ...]:
    """What an operator should know about this Kong before we change it. Raises Refused where we cannot work at all."""
    if kong.flavor == "expressions":
        raise Refused("this Kong routes by expressions: set router_flavor = traditional_compatible")
    if kong.role == "data_plane":
        raise Refused("this Kong is a data plane: talk to its control plane")
    numbers = tuple(int(one) for one in re.findall(r"\d+", kong.version)[:2])
    low, high = SUPPORTED
    if low <= numbers <= high:
        return ()
    said = f"Kong {kong.version or 'of an unknown version'} is not one of those we are tested with"
    return (f"{said} ({low[0]}.{low[1]} to {high[0]}.{high[1]})",)


def failure(what: str, kind: Kind | None, entity: Entity, status: int, again: str, text: str) -> Refused | Unavailable:
    """The error for an answer that is no success.

    `what`: the call, for people; `entity`: what was sent, {} if nothing; `again`: the header Retry-After.
    """
    body = _object(text)
    if status in AGAIN:
        return Busy(f"{what}: {status} {_said(body, text)}", _seconds(again))
    found = _problems(what, kind, entity, status, body, text)
    if body.get("code") == BAD_OFFSET:
        return LostPlace(status, found)
    return {404: Missing, 409: Conflict}.get(status, KongRefused)(status, found)


def _seconds(again: str) -> float:
    return float(again) if re.fullmatch(r"\d+(\.\d+)?", again) else 0.0


def _object(text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _said(body: Mapping[str, Any], text: str) -> str:
    """Kong's message; of a page that something in front of Kong made, its title."""
    if isinstance(body.get("message"), str):
        return str(body["message"])
    title = re.search(r"<title>(.*?)</title>", text, re.S | re.I)
    plain = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return " ".join(plain.split())[:200] or "(empty answer)"


def _problems(
    what: str, kind: Kind | None, entity: Entity, status: int, body: Mapping[str, Any], text: str
) -> tuple[Problem, ...]:
    if isinstance(body.get("flattened_errors"), list):
        found = tuple(one for row in body["flattened_errors"] for one in _flattened(row))
        return found + tuple(_of_fields(None, {}, status, body.get("fields") or {}))
    fields = body.get("fields")
    if kind and status == 400 and isinstance(fields, dict) and body.get("code") in (2, 13):
        return tuple(_of_fields(kind, entity, status, fields))
    said = f"{_hidden(kind, entity, _said(body, text))} (answer {status} to {what})"
    return (_problem(kind, entity, "", said, HINTS.get(status, "")),)


def _of_fields(kind: Kind | None, entity: Entity, status: int, fields: Mapping[str, Any]) -> Iterator[Problem]:
    for path, said in _leaves(fields):
        yield _problem(kind, entity, path, _hidden(kind, entity, said), HINTS.get(status, ""))


def _leaves(errors: Any, way: str = "") -> Iterator[tuple[str, str]]:
    """Paths and texts of nested errors; what is about the whole has no path. Positions count from 1, as Kong's."""
    if isinstance(errors, str):
        yield way, errors
    elif isinstance(errors, Mapping):
        for name, one in errors.items():
            yield from _leaves(one, way if name == "@entity" else f"{way}.{name}".lstrip("."))
    elif isinstance(errors, list):
        for n, one in enumerate(errors, 1):
            about_the_whole = isinstance(one, str) and not way
            yield from _leaves(one, "" if about_the_whole else f"{way}.{n}".lstrip("."))


def _flattened(row: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems of one entity of a whole configuration."""
    kind = KINDS.get(f"{row.get('entity_type')}s")
    entity = {**(row.get("entity") or {}), "tags": row.get("entity_tags") or ()}
    named = {"name": row["entity_name"]} if row.get("entity_name") else {}
    for one in row.get("errors") or ():
        said = one.get("message") or "; ".join(one.get("messages") or ())
        yield _problem(kind, entity | named, str(one.get("field", "")), _hidden(kind, entity, str(said)))


def _problem(kind: Kind | None, entity: Entity, path: str, said: str, hint: str = "") -> Problem:
    name = kind.name if kind else "kong"
    return Problem(CODE, name, label(kind, entity) if kind else "", path, said, hint, tenant=tenant(entity))


def _hidden(kind: Kind | None, entity: Entity, said: str) -> str:
    """The text without the values of secret fields."""
    for field in kind.secrets if kind else ():
        value = entity.get(field)
        if isinstance(value, str) and value:
            said = said.replace(value, "***")
    return said
