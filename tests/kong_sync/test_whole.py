"""A Kong without a database: what a push may take away, what is kept before, what is refused, what is not pushed."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import kong_worlds
import kongs
import pytest
from immutables import Map
from plan_worlds import ident
from sidecars import limit, limits
from structlog.testing import capture_logs

from kong_double.double import Double
from kong_double.faults import Fault
from kong_double.transport import Direct
from kong_sync import declarative, whole
from kong_sync.admin import Access, Patience, connected
from kong_sync.backups import keeper, loaded
from kong_sync.database import Guard
from kong_sync.gauges import Gauges
from kong_sync.limits import TooMuch
from kong_sync.listing import ours
from kong_sync.states import State
from kong_sync.translate import Desired, translate
from kong_sync.whole import Whole
from tenants.errors import Unavailable

MANY = "".join(limit(f"t{i:02}", 5) for i in range(30))
THEIRS = """
_format_version: '3.0'
services: [{name: theirs, host: theirs.test, routes: [{name: theirs, paths: [/theirs]}]}]
upstreams: [{name: pool, targets: [{target: '10.0.0.9:80'}]}]
"""


@pytest.fixture
def kong() -> Double:
    return kongs.without_database()


@asynccontextmanager
async def fresh(kong: Double, force: str = "", folder: Path | None = None) -> AsyncIterator[Whole]:
    """A writer that knows nothing of this Kong: as after a restart of the sidecar."""
    backup = keeper(folder, "edge", ours("edge")) if folder else lambda _state: None
    async with connected(Access("http://kong.test"), transport=Direct(kong), patience=Patience(tries=1)) as admin:
        yield Whole(admin, Gauges(), guard=Guard(force), backup=backup)


def wanted(*texts: str) -> Desired:
    return translate(kong_worlds.world(kong_worlds.GATEWAY, *texts))


def pushes(kong: Double) -> list[int]:
    """How each push was answered."""
    return [one.status for one in kong.calls if one.method == "POST"]


async def test_the_first_push_after_a_restart_of_the_sidecar_may_not_take_nearly_all_away(kong: Double) -> None:
    async with fresh(kong) as first:
        assert await first.bring(wanted(MANY)) == ()
    before = kongs.call(kong, "GET", "/config").body
    async with fresh(kong) as second:
        with pytest.raises(
            TooMuch, match=r"takes away \d+ of the \d+ entities in this Kong: nothing was changed"
        ) as no:
            await second.bring(wanted(limit("t00", 5)))
    assert kongs.call(kong, "GET", "/config").body == before
    async with fresh(kong, "0123456789abcdef") as third:
        with pytest.raises(TooMuch):
            await third.bring(wanted(limit("t00", 5)))
    async with fresh(kong, no.value.digest) as forced:
        assert await forced.bring(wanted(limit("t00", 5))) == ()
    assert sorted(limits(kong)) == ["t00"]


async def test_what_somebody_else_gave_it_before_is_not_replaced_without_a_word(kong: Double) -> None:
    assert kongs.call(kong, "POST", "/config", {"config": THEIRS}).status == 201
    async with fresh(kong) as writer:
        with pytest.raises(TooMuch, match="takes away 4 of the 4 entities"):
            await writer.bring(wanted())
    assert [row["name"] for row in kong.store.all("services")] == ["theirs"]


async def test_an_empty_kong_is_not_listed_and_a_full_one_is_listed_once(kong: Double) -> None:
    async with fresh(kong) as first:
        await first.bring(wanted(MANY))
        assert not [one for one in kong.calls if "size=" in one.path]
    async with fresh(kong) as second:
        for requests in (5, 6, 7):
            await second.bring(wanted(MANY, limit("more", requests)))
        listed = [one.path for one in kong.calls if one.path.startswith("/services?")]
        assert len(listed) == 1


async def test_few_may_go_and_an_entity_under_another_id_is_not_gone(kong: Double) -> None:
    async with fresh(kong) as first:
        await first.bring(wanted(MANY))
        assert await first.bring(wanted(MANY.replace(limit("t29", 5), ""))) == ()
        assert "t29" not in limits(kong)
    held = State.of([("consumers", {"id": ident("old"), "username": "a"})])
    assert whole.lost(State.of([("consumers", {"id": ident("new"), "username": "a"})]), held) == ()
    assert len(whole.lost(State.of([("consumers", {"id": ident("new"), "username": "b"})]), held)) == 1


async def test_the_same_configuration_is_not_loaded_again(kong: Double) -> None:
    async with fresh(kong) as first:
        await first.bring(wanted(MANY))
        await first.bring(wanted(MANY))
    async with fresh(kong) as second:
        await second.bring(wanted(MANY))
        assert await second.look() == ()
    assert pushes(kong) == [201, 304]


async def test_before_something_goes_there_is_a_backup_that_can_be_given_back(kong: Double, tmp_path: Path) -> None:
    async with fresh(kong, folder=tmp_path) as first:
        await first.bring(wanted(MANY))
        assert list(tmp_path.iterdir()) == []
    async with fresh(kong, folder=tmp_path) as second:
        held = (await second.held()).rows
        await second.bring(wanted(MANY.replace(limit("t29", 5), "")))
        (file,) = tmp_path.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert set(State.of(loaded(file)).rows) == set(held)
        assert await second.give(State.of(loaded(file))) == ()
        assert limits(kong)["t29"] == 5
        await second.bring(wanted(MANY))
        kept = len(list(tmp_path.iterdir()))
        await second.bring(wanted(MANY.replace(limit("t29", 5), limit("t29", 6))))
        assert len(list(tmp_path.iterdir())) == kept, "it changed little"
        await second.bring(wanted(MANY.replace("requests: 5", "requests: 6")))
        assert len(list(tmp_path.iterdir())) == kept + 1, "it changed much"


async def test_a_push_that_is_too_large_is_refused_and_comes_through_when_kong_takes_more(kong: Double) -> None:
    config = kong.api.pages["config"].__self__  # type: ignore[attr-defined]
    async with fresh(kong) as writer:
        await writer.bring(wanted(limit("acme", 5)))
        config.limit = 1000
        (fault,) = await writer.bring(wanted(limit("acme", 6)))
        assert "413" in fault.text
        assert "nginx_admin_client_max_body_size" in fault.text
        assert limits(kong) == {"acme": 5}
        config.limit = 10 << 20
        assert await writer.bring(wanted(limit("acme", 6))) == ()
        assert limits(kong) == {"acme": 6}


async def test_what_kong_would_answer_with_500_is_not_sent(kong: Double) -> None:
    desired = wanted(limit("acme", 5))
    kept = {key: row for key, row in desired.entities.items() if key[0] != "services"}
    async with fresh(kong) as writer:
        faults = await writer.bring(replace(desired, entities=Map(kept)))
    assert faults
    assert all("services" in one.text for one in faults)
    assert pushes(kong) == []


async def test_more_than_a_kong_without_a_database_is_good_for_is_warned_about_once(
    kong: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declarative, "MANY", 20)
    async with fresh(kong) as writer:
        with capture_logs() as logs:
            await writer.bring(wanted(MANY))
            writer.lose()
            await writer.bring(wanted(MANY))
    warned = [one["problem"] for one in logs if one["log_level"] == "warning"]
    assert len(warned) == 1
    assert "above 20 a push takes seconds" in warned[0]
    assert "use Kong with a database" in warned[0]


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=429), Fault(cut=True), Fault(cut=True, done=True)], ids=str
)
async def test_after_a_push_whose_end_nobody_knows_the_next_one_is_whole(kong: Double, fault: Fault) -> None:
    async with fresh(kong) as writer:
        await writer.bring(wanted(limit("acme", 5)))
        kong.faults.on(1, fault)
        with pytest.raises(Unavailable):
            await writer.bring(wanted(limit("acme", 6)))
        writer.lose()
        assert await writer.bring(wanted(limit("acme", 6))) == ()
        assert limits(kong) == {"acme": 6}
