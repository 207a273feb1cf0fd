"""Which certificate is shown for which host, and what a change of a certificate costs: counted, not timed."""

from datetime import UTC, datetime
from typing import Any

import stages
import worlds
from google.protobuf.message import Message
from immutables import Map
from stages import Json

from tenants.catalog import Catalog, Touched
from tenants.secrets.material import Material
from tenants.supplies import Supplies
from xds import messages
from xds.builder import Builder
from xds.certificates import Claim, Hosts
from xds.translate import secrets

WHEN = datetime.now(UTC)


def material(text: str) -> Material:
    return Material(f"chain of {text}", f"key of {text}", WHEN, WHEN)


def hosts(**claims: Claim) -> Hosts:
    made = Hosts()
    for name, claim in claims.items():
        made.claim(name, claim)
    return made


def test_an_exact_host_goes_before_a_wildcard_that_counts_for_the_hosts_of_tenants() -> None:
    made = hosts(wild=Claim(("*.a.b",)), exact=Claim(("x.a.b", "z.a.b")))
    made.tenant("t", ("x.a.b", "y.a.b", "deep.y.a.b"))
    assert [made.find(one) for one in ("x.a.b", "y.a.b", "z.a.b")] == ["exact", "wild", "exact"]
    assert [made.find(one) for one in ("nobody.a.b", "a.b", "deep.y.a.b", "")] == [None] * 4


def test_a_certificate_of_one_tenant_is_never_for_the_host_of_another() -> None:
    made = hosts(acmes=Claim(("x.a.b", "*.c.d"), "acme"), wild=Claim(("*.a.b",)))
    made.tenant("beta", ("x.a.b", "x.c.d"))
    assert [made.find(one) for one in ("x.a.b", "x.c.d")] == ["wild", None]
    made.tenant("beta", ())
    made.tenant("acme", ("x.a.b", "x.c.d"))
    assert [made.find(one) for one in ("x.a.b", "x.c.d")] == ["acmes", "acmes"]


def test_hosts_change_hands_in_one_turn_whatever_the_order() -> None:
    for order in (("one", "two"), ("two", "one")):
        made = hosts(one=Claim(("x.a.b",)), two=Claim(("y.a.b",)))
        swapped = {"one": Claim(("y.a.b",)), "two": Claim(("x.a.b",))}
        for name in order:
            made.claim(name, swapped[name])
        assert (made.find("x.a.b"), made.find("y.a.b")) == ("two", "one")


def test_only_what_may_differ_is_dirty() -> None:
    made = hosts(one=Claim(("x.a.b",)), wild=Claim(("*.a.b",)))
    made.tenant("t", ("y.a.b",))
    made.dirty.clear()
    made.claim("one", Claim(("x.a.b",)))
    made.tenant("t", ("y.a.b",))
    assert made.dirty == set()
    made.supplied(["wild", "nobody"])
    assert made.dirty == {"y.a.b"}
    made.claim("one", None)
    assert made.dirty == {"x.a.b", "y.a.b"}


class Bench:
    """A catalog, a builder that counts what it encodes of secrets, and material by hand."""

    def __init__(self, *documents: Json) -> None:
        self.catalog = Catalog.empty()
        self.supplies = Supplies()
        self.encoded: list[str] = []
        self.builder = Builder(self._encode)
        self.put(*documents)

    def _encode(self, message: Any) -> bytes:
        if isinstance(message, Message) and message.DESCRIPTOR.name == "Secret":
            self.encoded.append(message.name)  # type: ignore[attr-defined]
        return messages.encode(message)

    def put(self, *documents: Json, drop: tuple[tuple[str, str], ...] = ()) -> list[str]:
        """Documents, which must be good; the names of the secrets that were encoded for them."""
        step = self.catalog.apply(stages.changes(*documents, drop=drop))
        assert [one for one in step.catalog.problems if one.severity == "error"] == []
        self.catalog = step.catalog
        return self._update(step.touched)

    def supply(self, **certificates: str) -> list[str]:
        """The certificate by id made of this text."""
        known: Map[str, Material] = self.supplies.certificates
        self.supplies = Supplies(certificates=known.update({one: material(t) for one, t in certificates.items()}))
        return self._update(Touched())

    def _update(self, touched: Touched) -> list[str]:
        self.encoded.clear()
        self.builder.update(self.catalog, touched, self.supplies)
        return sorted(self.encoded)

    def secrets(self, gateway: str = "edge") -> dict[str, str]:
        """The owners of the secrets, by name."""
        return {name: one.owner for name, one in self.builder.snapshots[gateway].resources["SDS"].items()}


def gateway(name: str = "edge", port: int = 8443, tls: Json | None = None, **more: Any) -> Json:
    listener = {"name": "l0", "port": port, "tls": {} if tls is None else tls}
    return worlds.gateway(id=name, listeners=[listener], **more)


def certificate(name: str, *found: str, **more: Any) -> Json:
    places = {"certificate": {"file": f"{name}.pem"}, "key": {"file": f"{name}.key"}}
    return {"kind": "Certificate", "id": name, "hosts": found, **places, **more}


def tenant(name: str) -> Json:
    return worlds.tenant(name, hosts=[f"{name}.example.com"])


def many(number: int) -> Bench:
    tenants = [tenant(f"t{n}") for n in range(number)]
    own = [certificate(f"t{n}", f"t{n}.example.com", tenant=f"t{n}") for n in range(number)]
    made = Bench(gateway(tenant={"from": "host"}), *tenants, *own)
    made.supply(**{f"t{n}": "first" for n in range(number)})
    return made


def test_a_renewal_encodes_and_changes_one_secret_however_many_there_are() -> None:
    bench = many(500)
    before = bench.builder.snapshots["edge"]
    assert bench.supply(t7="second") == ["t7.example.com"]
    after = bench.builder.snapshots["edge"]
    assert after.changed("SDS", before.serial) == {"t7.example.com"}
    assert [kind for kind in ("LDS", "CDS", "RDS", "SRDS") if after.version(kind) != before.version(kind)] == []


def test_a_tenants_certificate_comes_and_goes_alone_and_is_the_tenants() -> None:
    bench = many(3)
    bench.supplies = Supplies(certificates=bench.supplies.certificates.set("new", material("new")))
    assert bench.put(certificate("new", "shop.acme.org", tenant="t1")) == ["shop.acme.org"]
    assert bench.secrets()["shop.acme.org"] == ""
    assert bench.secrets()["t1.example.com"] == "t1"
    assert bench.put(drop=(("Certificate", "new"),)) == []
    assert "shop.acme.org" not in bench.secrets()


def test_a_tenants_new_host_is_shown_the_wildcard() -> None:
    bench = Bench(gateway(), tenant("acme"), certificate("wild", "*.example.com"))
    assert bench.supply(wild="x") == ["acme.example.com"]
    assert bench.put(tenant("beta")) == ["beta.example.com"]
    assert bench.secrets() == {"acme.example.com": "acme", "beta.example.com": "beta"}
    bench.put(drop=(("Tenant", "beta"),))
    assert bench.secrets() == {"acme.example.com": "acme"}


def test_a_change_of_something_else_encodes_no_secret() -> None:
    bench = many(3)
    assert bench.put(worlds.tenant("t1", hosts=["t1.example.com"], policies={"body_limit": {"max": "1KiB"}})) == []
    assert bench.put(gateway(tenant={"from": "host"}, policies={"timeout": {"request": "3s"}})) == []


def test_secrets_go_only_to_gateways_that_need_them() -> None:
    plain = worlds.gateway(id="plain", listeners=[{"name": "l0", "port": 8080}])
    betas = gateway("betas", 8444, tenants=["beta"])
    fixed = gateway("fixed", 8445, {"certificate": "acme"})
    own = [certificate(name, f"{name}.example.com", tenant=name) for name in ("acme", "beta")]
    bench = Bench(gateway(), plain, betas, fixed, tenant("acme"), tenant("beta"), *own)
    bench.supply(acme="a", beta="b")
    assert set(bench.secrets()) == {"acme.example.com", "beta.example.com"}
    assert bench.secrets("plain") == {}
    assert set(bench.secrets("betas")) == {"beta.example.com"}
    assert set(bench.secrets("fixed")) == {secrets.certificate_name("acme")}


def test_what_a_service_in_use_names_is_sent_and_taken_back_with_its_use() -> None:
    ours = certificate("ours")
    tls = {"sni": "a.b", "ca_file": "ca.pem", "certificate": "ours"}
    service = stages.service("orders", 9001, tls=tls)
    port = {"listeners": [{"name": "l0", "port": 8080}], "allow_local_endpoints": True}
    bench = Bench(worlds.gateway(**port), service, worlds.route(), ours)
    bench.supplies = Supplies(authorities=Map({"ca.pem": "x"}))
    bench.supply(ours="x")
    assert bench.secrets() == {}  # nobody uses the service
    bench.supplies = Supplies(bench.supplies.keys, bench.supplies.certificates, Map({"ca.pem": "x"}))
    bench.put(worlds.tenant())
    assert set(bench.secrets()) == {secrets.certificate_name("ours"), secrets.authorities_name("ca.pem")}
    bench.put(drop=(("Tenant", "acme"),))
    assert bench.secrets() == {}
