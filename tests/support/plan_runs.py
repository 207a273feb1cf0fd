"""Plans carried out step by step, in any order within a phase, with every request asked after each step.

On the model the two timers may show any moment since the last wait; on the double they stand at random offsets.
"""

from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

import jwt
import kongs
from plan_models import TENANT, Asked, Model, Rows, World, allowed, answer
from plan_worlds import ASKED, SECRET

from kong_double.double import Double
from kong_double.pages import PRIORITIES
from kong_double.timers import Hand, Timers
from kong_sync.admin import Admin
from kong_sync.entities import KINDS
from kong_sync.forms import Schemas
from kong_sync.mirror import Mirror
from kong_sync.phases import Plan, Step
from kong_sync.states import State

TAGS = ("gatecast",)
Leak = tuple[str, Step, Asked, str]


def state(rows: Rows) -> State:
    return State.of((key[0], row) for key, row in rows.items())


def finished(rows: Rows, plan: Plan) -> Rows:
    """What a database holds after a plan."""
    kong = Model(rows)
    for step in plan.steps:
        kong.apply(step)
    return kong.rows


def walk(rng: Random, kong: Model, plan: Plan, *worlds: World, stop: int | None = None) -> Iterator[Leak]:
    """Carry out a plan, the first `stop` steps of it; tell each answer that none of these worlds would give."""
    done = 0
    for phase in plan.phases:
        if phase.wait:
            kong.settle()
        for step in rng.sample(phase.steps, len(phase.steps)):
            if done == stop:
                return
            kong.apply(step)
            done += 1
            for asked, host in _answers(rng, kong):
                if not allowed(asked, host, *worlds):
                    yield phase.name, step, asked, host


def _answers(rng: Random, kong: Model) -> Iterator[tuple[Asked, str]]:
    """By moments that the timers may show: each alone behind or ahead of the other, and some at random."""
    last = len(kong.moments) - 1
    pairs = {(0, last), (last, 0), (last, last), *((rng.randint(0, last), rng.randint(0, last)) for _ in range(3))}
    shown = [World(rows) for rows in kong.moments]
    for router, plugins in sorted(pairs):
        for asked in ASKED:
            if host := answer(asked, shown[router], shown[plugins], shown[last]):
                yield asked, host


# -- on the double ------------------------------------------------------------------------------------------------


def double(rng: Random) -> Double:
    """With its timers anywhere, and a clock that is moved."""
    period = 5.0
    return kongs.standing(Timers(period=period, router=rng.uniform(0, period), plugins=rng.uniform(0, period)))


async def schemas(admin: Admin) -> Schemas:
    kinds = {name: await admin.schema(kind) for name, kind in KINDS.items()}
    return Schemas.read(kinds, {name: await admin.plugin_schema(name) for name in PRIORITIES})


async def listed(admin: Admin, known: Schemas) -> Mirror:
    """What the Kong holds, read anew."""
    rows = {name: await admin.rows(kind) for name, kind in KINDS.items() if not kind.nested}
    upstreams = [one["id"] for one in rows["upstreams"]]
    targets = [row for one in upstreams for row in await admin.rows(KINDS["targets"], parent=one)]
    return Mirror.read({**rows, "targets": targets}, known, TAGS)


async def write(admin: Admin, step: Step) -> None:
    kind = KINDS[step.kind]
    if step.verb == "delete":
        await admin.delete(kind, step.id, parent=step.parent)
    elif step.verb == "patch":
        await admin.patch(kind, step.id, step.body, parent=step.parent)
    else:
        await admin.put(kind, step.body)


async def walk_double(rng: Random, kong: Double, admin: Admin, plan: Plan, *worlds: World) -> list[Leak]:
    """The same on the double; its time goes on by a part of a tick after each step."""
    assert isinstance(kong.clock, Hand)
    leaks: list[Leak] = []
    for phase in plan.phases:
        if phase.wait:
            kongs.settle(kong)
        for step in rng.sample(phase.steps, len(phase.steps)):
            await write(admin, step)
            for _ in range(2):
                kong.clock.move(rng.uniform(0, kong.timers.period / 2))
                leaks += [(phase.name, step, *one) for one in _heard(rng, kong) if not allowed(*one, *worlds)]
    return leaks


def _heard(rng: Random, kong: Double) -> Iterator[tuple[Asked, str]]:
    for asked in rng.sample(ASKED, 40):
        found = ask(kong, asked)
        if found:
            yield asked, found


def ask(kong: Double, asked: Asked) -> str:
    """The host that answers on the double, "" if none."""
    headers = [(TENANT, asked.tenant)] if asked.tenant else []
    headers += [("apikey", asked.key)] if asked.key else []
    if asked.token:
        claims = {"exp": int(kong.wall()) + 600}
        headers.append(kongs.bearer(jwt.encode(claims, SECRET, "HS256", {"kid": asked.token})))
    heard = kongs.ask(kong, asked.path, *headers, host=asked.host)
    return str(urlsplit(f"//{heard.json()['address']}").hostname) if heard.status == 200 else ""
