"""What route classes use and share: services, pools, issuers, preflights, and what these come to. Pure.

`translate` counts the uses and calls these.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from kong_sync import issuers
from kong_sync.classes import Preflight, RouteClass
from kong_sync.issuers import Issuer
from kong_sync.model import World
from kong_sync.names import Made
from kong_sync.parts import CODE
from kong_sync.upstreams import Pool, ServiceSpec, pool_entities, service_entity
from tenants.errors import Problem

OPTIONAL = "anonymous"
"""A use: some class lets requests without a token in."""


def uses_of(one: RouteClass) -> Iterator[Any]:
    """What a class needs to be there."""
    if one.service is not None:
        yield one.service
        yield one.service.pool
    if one.issuer is not None:
        yield one.issuer
    if one.optional:
        yield OPTIONAL


def is_preflight(use: Any) -> bool:
    """Whether a use is of a shared answer to preflights."""
    return isinstance(use, Preflight) or (isinstance(use, tuple) and isinstance(use[0], Preflight))


def services_of(use: Any) -> tuple[str, ...]:
    """The services by whose documents a use is made."""
    if isinstance(use, ServiceSpec):
        return use.pool.services
    return use.services if isinstance(use, Pool) else ()


def made_of(use: Pool | ServiceSpec | str, gateway: str, world: World) -> Iterator[Made]:
    """The entities that a use of services comes to, or that of guests."""
    if isinstance(use, Pool):
        yield from pool_entities(gateway, use, world.services)
    elif isinstance(use, ServiceSpec):
        yield service_entity(gateway, use, world.services)
    else:
        yield from issuers.anonymous_entities(gateway)


def conflicts(used: Iterable[Issuer], world: World) -> Iterator[Problem]:
    """Keys of several issuers that have one name."""
    for kid in issuers.conflicts(used, world.keys):
        text = f"several issuers have a key named {kid!r}, and a Kong knows one: tokens of the others are refused"
        yield Problem(CODE, "Gateway", world.gateway.id if world.gateway else "", "", text)
