"""The words in which policies say what Kong needs: a `Place` in, an `Effect` out. Called by `plugins` and above."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from kong_sync.bodies import JSON
from kong_sync.issuers import Issuer
from kong_sync.names import canonical
from tenants.policies import Cors


@dataclass(frozen=True, slots=True)
class Place:
    """Where a policy holds. `header`: the one that names the tenant, "" where the host does; `tenant`: of the class of
    one, "" where tenants share. `claim`: that the gateway knows tenants by. `keyed`: Kong knows the tenant as a
    consumer, so a limit is the consumer's.
    """

    gateway: str
    source: Literal["header", "host", "claim"]
    header: str = ""
    tenant: str = ""
    keyed: bool = False
    claim: str = ""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin of a route; `config` is canonical JSON, so that equal ones are equal."""

    name: str
    config: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What one policy comes to. `before` and `after`: Lua ahead of all plugins and behind them; `answer`: Lua for the
    headers of the answer. `ends`: what is answered in place of the service. `apart`: tenants cannot share it.
    """

    plugins: tuple[Plugin, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    answer: tuple[str, ...] = ()
    ends: tuple[int, str] | None = None
    apart: bool = False
    issuer: Issuer | None = None
    optional: bool = False
    cors: Cors | None = None


NOTHING = Effect()


def plugin(name: str, **config: Any) -> Plugin:
    return Plugin(name, canonical(config))


def together(effects: Iterable[Effect]) -> Effect:
    """All of them as one. Of several that end a request the first counts."""
    found = NOTHING
    for one in effects:
        found = replace(
            found,
            plugins=found.plugins + one.plugins,
            before=found.before + one.before,
            after=found.after + one.after,
            answer=found.answer + one.answer,
            ends=found.ends or one.ends,
            apart=found.apart or one.apart,
            issuer=found.issuer or one.issuer,
            optional=found.optional or one.optional,
            cors=found.cors or one.cors,
        )
    return found


def ending(status: int, text: str) -> Plugin:
    """An answer in place of the service."""
    return plugin("request-termination", status_code=status, content_type=JSON, body=text, message=None, trigger=None)


def functions(name: str, access: tuple[str, ...], answer: tuple[str, ...] = ()) -> tuple[Plugin, ...]:
    """`pre-function` or `post-function`, if there is anything for it."""
    return (plugin(name, access=list(access), header_filter=list(answer)),) if access or answer else ()
