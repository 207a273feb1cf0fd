"""What the HTTP API shows: models of its JSON, and pure functions that fill them. Called by `gatecast.api`.

Times are RFC 3339 UTC; ages are seconds. Nothing here costs more than what it shows.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from gatecast.states import Sort, State, sort, state, worst
from tenants.errors import Problem
from tenants.store.redaction import redacted
from xds import messages
from xds.hub import Activity, Client
from xds.interest import Interest
from xds.kinds import KINDS
from xds.snapshot import Resource, Snapshot

SHOWN = 20  # rejected resources named for one type of one client


class View(BaseModel):
    """The base of everything shown."""

    model_config = ConfigDict(frozen=True)


class Fault(View):
    """An error of the API: `code` is stable."""

    code: str
    message: str
    details: tuple[dict[str, Any], ...] = ()


class Failure(View):
    """The body of every answer that is an error."""

    error: Fault


@dataclass(frozen=True, slots=True)  # no models: a thousand clients have ten of these each
class TypeView:
    """One type on one stream. `words`: why each of the resources in `rejected` was, as far as that is known."""

    type: str
    state: State
    version: str = ""
    accepted_version: str = ""
    pushes: int = 0
    pushed_age: float | None = None
    answered_age: float | None = None
    waiting: float | None = None
    rejections: int = 0
    error: str = ""
    rejected: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClientView:
    """One open stream of a proxy. `state` is the worst of its types; `build` is its program with the version."""

    id: str
    kind: Sort
    node: str
    gateway: str
    address: str
    variant: str
    build: str
    connected_at: str
    state: State
    types: tuple[TypeView, ...]


class Clients(View):
    """A page of clients; `total` counts all."""

    total: int
    clients: tuple[ClientView, ...]
    next_cursor: str | None = None


class TypeCount(View):
    """How many resources of a type, and the version of all of them."""

    type: str
    version: str
    resources: int


class SnapshotView(View):
    """The newest snapshot of a gateway."""

    gateway: str
    serial: int
    published_at: str
    types: tuple[TypeCount, ...]


class Snapshots(View):
    """The newest snapshot of every gateway."""

    revision: int
    snapshots: tuple[SnapshotView, ...]


class ResourceView(View):
    """A resource without its content. `tenant` is empty for what tenants share; `size` is in bytes."""

    name: str
    version: str
    size: int
    tenant: str = ""


class Resources(View):
    """A page of the resources of one type."""

    gateway: str
    type: str
    version: str
    total: int
    resources: tuple[ResourceView, ...]
    next_cursor: str | None = None


class ResourceDetail(ResourceView):
    """A resource with its content in Envoy's own JSON form."""

    type: str
    resource: dict[str, Any]


class ProblemView(View):
    """One fault in one document, as `tenants.errors.Problem`."""

    severity: str
    code: str
    kind: str
    id: str
    path: str
    message: str
    hint: str
    file: str
    line: int
    tenant: str


class Problems(View):
    """A page of problems; `total` counts all."""

    revision: int
    total: int
    problems: tuple[ProblemView, ...]
    next_cursor: str | None = None


class Status(View):
    """The server in one look: what `gatecast status` shows."""

    ready: bool
    revision: int
    version: str
    documents: Mapping[str, int]
    problems: int
    clients: int
    gateways: tuple[str, ...]


def when(seconds: float) -> str:
    """RFC 3339 UTC of seconds since the epoch; empty for never."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z") if seconds else ""


def client_view(client: Client, clock: float, wall: float) -> ClientView:
    """`clock` is the stream machines' clock, `wall` seconds since the epoch."""
    types = tuple(
        type_view(interest, client.activity.get(name) or Activity(), clock, wall)
        for name, interest in client.machine.interests.items()
    )
    return ClientView(
        id=str(client.number), kind=sort(client), node=client.node.id, gateway=client.gateway, address=client.peer,
        variant=client.variant, build=client.node.build, connected_at=when(client.since),
        state=worst(frozenset(one.state for one in types)), types=types,
    )  # fmt: skip


def type_view(interest: Interest, activity: Activity, clock: float, wall: float) -> TypeView:
    """One type of one client; a client that never asked for it has a name and a state, nothing more."""
    now = state(interest, clock)
    if now is State.NOT_SUBSCRIBED and not activity.pushes:
        return _not_subscribed(interest.kind.name)
    rejected = heapq.nsmallest(SHOWN, interest.parked) if interest.parked else []
    refused = [interest.parked[name] for name in rejected]
    return TypeView(
        type=interest.kind.name,
        state=now,
        version=activity.pushed_version,
        accepted_version=activity.accepted_version,
        pushes=activity.pushes,
        pushed_age=_age(activity.pushed_at, wall),
        answered_age=_age(activity.answered_at, wall),
        waiting=round(max(0.0, clock - interest.sent.at), 3) if interest.sent else None,
        rejections=activity.rejections,
        error=activity.error,
        rejected=tuple(rejected),
        tenants=tuple(sorted({one.owner for one in refused if one and one.owner})),
        words={name: activity.words[name] for name in rejected if name in activity.words},
    )


@lru_cache(maxsize=64)
def _not_subscribed(kind: str) -> TypeView:
    return TypeView(type=kind, state=State.NOT_SUBSCRIBED)


def _age(at: float, wall: float) -> float | None:
    return round(max(0.0, wall - at), 3) if at else None


def snapshot_view(snapshot: Snapshot, published_at: float) -> SnapshotView:
    """Counts and versions; costs the same for five tenants and for fifty thousand."""
    types = tuple(
        TypeCount(type=kind, version=snapshot.version(kind), resources=len(snapshot.resources[kind])) for kind in KINDS
    )
    return SnapshotView(
        gateway=snapshot.gateway, serial=snapshot.serial, published_at=when(published_at), types=types
    )  # fmt: skip


def resources_view(snapshot: Snapshot, kind: str, limit: int, after: str) -> Resources:
    """A page by name, after the name `after`."""
    held = snapshot.resources[kind]
    names = heapq.nsmallest(limit + 1, (name for name in held if name > after))
    page = tuple(ResourceView(**_about(held[name])) for name in names[:limit])
    more = names[limit - 1] if len(names) > limit else None
    return Resources(
        gateway=snapshot.gateway, type=kind, version=snapshot.version(kind), total=len(held), resources=page,
        next_cursor=more,
    )  # fmt: skip


def resource_view(one: Resource) -> ResourceDetail:
    """A resource decoded: names of enums, `Any` opened up."""
    decoded = messages.message(KINDS[one.kind].message)()
    decoded.MergeFromString(one.body)
    return ResourceDetail(**_about(one), type=one.kind, resource=quiet(messages.to_dict(decoded)))


def quiet(value: Any) -> Any:
    """Envoy's JSON without the values of headers that carry secrets; private keys are not in it (`to_dict`)."""
    if isinstance(value, list):
        return [quiet(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("key"), str) and isinstance(value.get("value"), str):
        return {**value, "value": redacted({value["key"]: value["value"]})[value["key"]]}
    return {name: quiet(item) for name, item in value.items()}


def _about(one: Resource) -> dict[str, Any]:
    return {"name": one.name, "version": one.version, "size": len(one.block), "tenant": one.owner}


def problem_view(problem: Problem) -> ProblemView:
    """A problem with all its parts."""
    return ProblemView(**{name: getattr(problem, name) for name in ProblemView.model_fields})


def counts(catalog: Any, kinds: Iterable[str]) -> dict[str, int]:
    """Documents in force by kind."""
    return {kind: len(getattr(catalog, f"{kind.lower()}s")) for kind in kinds}
