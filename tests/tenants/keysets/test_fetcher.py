"""The fetcher at work, against real providers: when it asks, what it keeps, whom it tells. The test holds the clock."""

import asyncio
from dataclasses import replace

import fetchers
import idps
import pytest
from structlog.testing import capture_logs

from tenants.keysets.fetcher import Fetcher
from tenants.keysets.source import Source
from tenants.keysets.state import State
from xds.waiting import until


def at(idp: idps.Idp) -> Source:
    return Source(idp.issuer, idp.uri, local=True)


def kids(one: fetchers.Running, source: Source) -> tuple[str, ...]:
    found = one.fetcher.state(source).usable
    return found.kids if found else ()


async def test_a_wanted_source_is_fetched_at_once_and_told() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        await one.until(lambda: one.told, "it was told")
        (told,) = one.told
        assert told == {at(idp): one.fetcher.state(at(idp))} == one.fetcher.states
        assert (kids(one, at(idp)), told[at(idp)].fetched) == (("key-1",), one.time.wall)
        assert (one.fetcher.counts.fetches, one.fetcher.counts.failures) == (1, 0)


@pytest.mark.parametrize(
    ("headers", "early", "due"),
    [
        ({}, 224, 225),
        ({"cache-control": "max-age=1000"}, 749, 750),
        ({"cache-control": "max-age=1000", "age": "600"}, 299, 300),
        ({"cache-control": "no-store"}, 59, 60),
        ({"cache-control": "max-age=604800"}, 2699, 2700),
        ({"expires": "0"}, 59, 60),
    ],
)
async def test_it_asks_again_before_the_answer_expires_and_not_sooner(
    headers: dict[str, str], early: float, due: float
) -> None:
    """The earliest time there is: chance is 0 here; `test_freshness` has the bounds."""
    async with idps.Idp(alg="ES256", headers=headers) as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        one.time.pass_(early)
        await one.quiet()
        assert idp.requests["/jwks"] == 1
        one.time.pass_(due - early)
        await one.fetched(2)
        assert idp.requests["/jwks"] == 2


async def test_an_unchanged_set_is_not_told_again() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        for number in range(1, 4):
            await one.fetched(number)
            one.time.pass_(300)
        await one.quiet()
        assert len(one.told) == one.fetcher.counts.changes == 1
        assert one.fetcher.state(at(idp)).fetched > one.told[0][at(idp)].fetched


async def test_a_key_published_ahead_is_live_and_a_rotated_one_stays_for_the_overlap() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        idp.add()
        one.time.pass_(300)
        await one.fetched(2)
        assert kids(one, at(idp)) == ("key-1", "key-2")
        del idp.keys[0]
        one.time.pass_(300)
        await one.fetched(3)
        assert kids(one, at(idp)) == ("key-1", "key-2")
        await idp.stop()
        one.time.pass_(3599)
        await one.quiet()
        assert kids(one, at(idp)) == ("key-1", "key-2")
        one.time.pass_(1)
        await one.until(lambda: kids(one, at(idp)) == ("key-2",), "the overlap ended, though the provider is down")


async def test_replicas_that_saw_the_same_serve_the_same_bytes() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one, fetchers.running(at(idp)) as two:
        for number in range(1, 4):
            await one.fetched(number)
            await two.fetched(number)
            texts = {each.fetcher.state(at(idp)).usable for each in (one, two)}
            assert len(texts) == 1
            idp.rotate(("ES256", "EdDSA", "ES384")[number - 1])
            one.time.pass_(300)
            two.time.pass_(300)


async def test_an_unknown_key_is_looked_for_at_once_and_at_most_once_a_minute() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        idp.rotate()
        one.fetcher.unknown_key(at(idp))
        await one.fetched(2)
        assert kids(one, at(idp)) == ("key-1", "key-2")
        for seconds in (0, 30, 29.9):
            one.time.pass_(seconds)
            one.fetcher.unknown_key(at(idp))
        await one.quiet()
        assert idp.requests["/jwks"] == 2
        one.time.pass_(0.1)
        one.fetcher.unknown_key(at(idp))
        await one.fetched(3)
        assert (idp.requests["/jwks"], one.fetcher.counts.unknown_keys) == (3, 2)


async def test_an_unknown_key_while_a_fetch_is_on_its_way_is_looked_for_after_it() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        idp.delay = 0.05
        one.time.pass_(300)
        await one.until(lambda: idp.waiting, "a fetch is on its way")
        one.fetcher.unknown_key(at(idp))
        await one.fetched(3)
        assert idp.requests["/jwks"] == 3


async def test_an_unknown_key_of_a_source_nobody_wants_or_that_was_never_tried_asks_nobody() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        one.fetcher.unknown_key(at(idp))
        await one.settled()
        one.fetcher.want(frozenset())
        one.fetcher.unknown_key(at(idp))
        one.fetcher.unknown_key(Source("https://nobody.example"))
        await one.quiet()
        assert (idp.requests["/jwks"], one.fetcher.counts.unknown_keys) == (1, 0)


async def test_the_last_good_set_is_kept_while_the_provider_is_down_and_then_it_is_stale() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        good = one.fetcher.state(at(idp))
        await idp.stop()
        one.time.pass_(300)
        await one.fetched(2)
        down = one.fetcher.state(at(idp))
        assert (down.keys, down.fetched, down.stale) == (good.keys, good.fetched, False)
        assert f"{idp.uri}: " in down.problem
        one.time.pass_(86400 - 301)
        await one.fetched(3)
        assert kids(one, at(idp)) == ("key-1",)
        one.time.pass_(1)
        await one.until(lambda: one.told[-1][at(idp)].stale, "it is told that the set is stale")
        assert one.fetcher.state(at(idp)).usable is None
        await idp.start()
        one.time.pass_(300)
        await one.until(lambda: one.told[-1][at(idp)].usable, "it is told that the set is good again")
        assert one.fetcher.state(at(idp)) == State(good.keys, "", one.time.wall)


async def test_after_failures_it_asks_more_and_more_rarely_and_tells_once() -> None:
    async with idps.Idp(alg="ES256", status=503) as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        for number, wait in enumerate((1, 2, 4, 8, 16, 32, 64, 128, 150, 150), start=1):
            one.time.pass_(wait - 0.1)
            await one.quiet()
            assert idp.requests["/jwks"] == number
            one.time.pass_(0.1)
            await one.fetched(number + 1)
        assert one.told == [{at(idp): State(problem=f"{idp.uri}: it answers 503")}]
        assert one.fetcher.counts.failures == one.fetcher.counts.kinds["status"] == 11


async def test_a_bad_set_after_a_good_one_changes_nothing_but_the_problem() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        idp.body = "<html>"
        one.time.pass_(300)
        await one.fetched(2)
        state = one.fetcher.state(at(idp))
        assert kids(one, at(idp)) == ("key-1",)
        assert "HTML" in state.problem
        idp.body = None
        one.time.pass_(2)
        await one.fetched(3)
        assert one.fetcher.state(at(idp)).problem == ""


async def test_wanting_the_same_again_asks_nobody_again() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        for _ in range(3):
            one.fetcher.want(frozenset({at(idp)}))
        await one.quiet()
        assert idp.requests["/jwks"] == 1


async def test_a_source_nobody_wants_is_left_alone_remembered_and_then_forgotten() -> None:
    async with idps.Idp(alg="ES256") as idp, fetchers.running(at(idp)) as one:
        await one.settled()
        one.fetcher.want(frozenset())
        one.time.pass_(400)
        await one.quiet()
        assert (idp.requests["/jwks"], kids(one, at(idp))) == (1, ("key-1",))
        one.fetcher.want(frozenset({at(idp)}))
        await one.fetched(2)  # its time came meanwhile
        one.fetcher.want(frozenset())
        one.time.pass_(600)
        await one.until(lambda: not one.fetcher.states, "it is forgotten")
        assert one.fetcher.state(at(idp)) == State()


async def test_a_source_that_is_not_wanted_any_more_while_it_is_fetched_is_forgotten_too() -> None:
    async with idps.Idp(alg="ES256", delay=idps.NEVER) as idp:
        limits = replace(fetchers.QUICK, total=0.2)
        async with fetchers.running(at(idp), limits=limits) as one:
            await one.until(lambda: idp.waiting, "the fetch is on its way")
            one.fetcher.want(frozenset())
            await one.fetched(1)
            one.time.pass_(600)
            await one.until(lambda: not one.fetcher.states, "it is forgotten")


async def test_a_slow_provider_is_bounded_and_delays_nobody() -> None:
    """The slow one has more sources than there are places, and came first."""
    limits = replace(fetchers.QUICK, at_once=4, per_host=2, total=0.3)
    async with idps.Idp(alg="ES256", delay=idps.NEVER) as slow, idps.Idp(alg="ES256") as good:
        many = [Source(f"a{number:02d}", slow.uri, local=True) for number in range(12)]
        async with fetchers.running(*many, limits=limits) as one:
            await one.until(lambda: slow.waiting, "the slow one is being asked")
            one.fetcher.want(frozenset({*many, at(good)}))
            await one.until(lambda: kids(one, at(good)), "the good one has answered")
            assert not any(one.fetcher.state(source).problem for source in many[4:])
            assert slow.waiting <= 2
            await one.settled()
            problems = {one.fetcher.state(source).problem for source in many}
            assert problems == {f"{slow.uri}: the keys did not come within 0.3 s"}
            assert one.fetcher.counts.kinds["timeout"] == 12


async def test_many_sources_are_fetched_a_few_at_a_time_and_told_in_batches() -> None:
    limits = replace(fetchers.QUICK, at_once=8, per_host=8)
    async with idps.Idp(alg="ES256") as idp:
        many = [Source(f"a{number}", idp.uri, local=True) for number in range(200)]
        async with fetchers.running(*many, limits=limits) as one:
            assert await one.fetcher.tried(30.0)
            await one.until(lambda: sum(map(len, one.told)) == 200, "all were told")
            assert idp.requests["/jwks"] == 200
            assert {kids(one, source) for source in many} == {("key-1",)}


async def test_who_waits_for_the_first_look_waits_for_no_dead_provider() -> None:
    async with idps.Idp(alg="ES256", delay=idps.NEVER) as idp, fetchers.running(at(idp)) as one:
        assert not await one.fetcher.tried(0.05)


async def test_where_nothing_is_wanted_nobody_waits_for_a_first_look() -> None:
    async with fetchers.running() as one:
        assert await one.fetcher.tried(0.0)


async def test_an_odd_failure_of_ours_is_a_problem_of_one_source() -> None:
    """The network itself raises what nobody expects."""
    async with idps.Idp(alg="ES256") as idp:
        network = fetchers.Network({"good.example": ["10.0.0.1"]})  # the other name: KeyError
        good, odd = (Source(name, f"http://{name}.example:{idp.port}/jwks") for name in ("good", "odd"))
        async with fetchers.running(good, odd, transport=network.checked()) as one:
            await one.settled()
            assert one.fetcher.state(odd).problem == "a defect of gatecast: KeyError"
            assert kids(one, good) == ("key-1",)


async def test_logs_say_what_changed_and_hold_no_key_and_no_password() -> None:
    with capture_logs() as logs:
        async with idps.Idp(alg="ES256") as idp:
            source = Source("x", idp.uri.replace("http://", "http://ann:secret@") + "?code=secret", local=True)
            async with fetchers.running(source) as one:
                await one.settled()
                x = idp.jwks()["keys"][0]["x"]
                idp.rotate()
                one.time.pass_(300)
                await one.fetched(2)
                await idp.stop()
                one.time.pass_(300)
                await one.fetched(3)
    assert [line["event"] for line in logs] == ["keys changed", "keys changed", "keys not fetched"]
    assert (logs[0]["added"], logs[1]["added"], logs[1]["gone"]) == (["key-1"], ["key-2"], [])
    assert "secret" not in str(logs)
    assert x not in str(logs)


async def test_what_the_listener_raises_ends_the_run() -> None:
    async def broken(_states: object) -> None:
        raise RuntimeError("the plane is broken")

    async with idps.Idp(alg="ES256") as idp:
        fetcher = Fetcher(broken)
        fetcher.want(frozenset({at(idp)}))
        with pytest.raises(ExceptionGroup) as told:
            await fetcher.run()
    assert told.group_contains(RuntimeError, match="the plane is broken")


async def test_a_cancellation_is_never_lost() -> None:
    """Also where it meets the end of a fetch (Python 3.11's `wait_for` would lose it)."""
    async with idps.Idp(alg="ES256") as idp:
        for turns in range(30):
            fetcher = Fetcher(_nobody, limits=fetchers.QUICK)
            fetcher.want(frozenset({at(idp)}))
            async with fetchers.at_work(fetcher):
                await until(lambda made=fetcher: made.counts.fetches, "the fetch is on its way")
                for _ in range(turns):
                    await asyncio.sleep(0)


async def _nobody(_states: object) -> None: ...


async def test_with_nothing_passed_in_it_runs_on_the_real_clock() -> None:
    told: list[object] = []

    async def tell(states: object) -> None:
        told.append(states)

    async with idps.Idp(alg="ES256") as idp:
        fetcher = Fetcher(tell)
        fetcher.want(frozenset({Source(idp.issuer, local=True)}))
        async with fetchers.at_work(fetcher):
            await until(lambda: told, "it was told")
