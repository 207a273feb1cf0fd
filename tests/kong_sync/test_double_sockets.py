"""The double as a server: requests that go through to real services, targets that die and come back, time-outs."""

import httpx
import kongs
import upstreams

from kong_double.double import Double
from kong_double.timers import Timers
from xds.waiting import until


async def test_requests_go_through_to_a_service_and_back() -> None:
    async with upstreams.Upstream("orders") as orders, Double(timers=Timers(period=0.05)).serving() as kong:
        kongs.make(kong, "/services", name="s", url=f"http://127.0.0.1:{orders.port}/base")
        kongs.make(kong, "/services/s/routes", name="r", paths=["/o"])
        kong.restart()
        async with httpx.AsyncClient(trust_env=False, base_url=kong.proxy_url) as http:
            got = await http.post("/o/x?y=1", headers={"x-a": "1"}, content=b"12345")
        assert (got.status_code, got.json()["path"], got.json()["length"]) == (200, "/base/x?y=1", 5)
        assert got.headers["via"] == "1.1 kong/3.9.1"
        sent = {name.lower(): value for name, value in got.json()["headers"].items()}
        assert (sent["x-a"], sent["x-forwarded-path"], sent["x-forwarded-prefix"]) == ("1", "/o/x", "/o")


async def test_a_dead_target_is_tried_elsewhere_and_probes_bring_it_back() -> None:
    every = {"healthy": {"interval": 0.1, "successes": 1}, "unhealthy": {"interval": 0.1}}
    checks = {"active": {"http_path": "/healthz", **every}}
    passive = {"passive": {"unhealthy": {"tcp_failures": 1}}}
    async with upstreams.Upstream("one") as one, upstreams.Upstream("two") as two, Double().serving() as kong:
        kongs.make(kong, "/upstreams", name="pool", healthchecks=checks | passive)
        for upstream in (one, two):
            kongs.make(kong, "/upstreams/pool/targets", target=f"127.0.0.1:{upstream.port}")
        kongs.make(kong, "/services", name="s", host="pool", retries=1)
        kongs.make(kong, "/services/s/routes", name="r", paths=["/"])
        kong.restart()
        await one.stop()
        async with httpx.AsyncClient(trust_env=False, base_url=kong.proxy_url) as http:
            met = [(await http.get("/")).json()["name"] for _ in range(4)]
            assert met == ["two"] * 4
            await one.start()
            await until(lambda: one.health_checks > 0, "a probe of the one that came back", within=5)
            (row,) = kong.store.all("upstreams")
            pulse = kong.plane.balancer.pulse(row, f"127.0.0.1:{one.port}")
            await until(lambda: pulse.well, "it to be well", within=5)
            assert {(await http.get("/")).json()["name"] for _ in range(4)} == {"one", "two"}


async def test_an_answer_that_does_not_come_is_504_and_repeated_for_gets_alone() -> None:
    async with upstreams.Upstream("slow", delay=0.3) as slow, Double().serving() as kong:
        kongs.make(kong, "/services", name="s", host="127.0.0.1", port=slow.port, retries=2, read_timeout=50)
        kongs.make(kong, "/services/s/routes", name="r", paths=["/"])
        kong.restart()
        async with httpx.AsyncClient(trust_env=False, base_url=kong.proxy_url) as http:
            assert (await http.get("/")).status_code == 504
            assert slow.count == 3
            assert (await http.post("/")).status_code == 504
            assert slow.count == 4
        assert (await _nobody(kong)) == 502


async def _nobody(kong: Double) -> int:
    kongs.change(kong, "/services/s", port=1, retries=0)
    kong.restart()
    async with httpx.AsyncClient(trust_env=False, base_url=kong.proxy_url) as http:
        return (await http.get("/")).status_code
