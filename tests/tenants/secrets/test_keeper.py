"""Last good kept, problems of one document, and when files are read again."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import worlds
from certificates import Shop
from worlds import Json

from tenants.documents import Key
from tenants.secrets.disk import LARGEST, Disk
from tenants.secrets.keeper import Keeper, Secrets
from tenants.served import Served
from tenants.tls import SYSTEM

ACME, BETA = Key("Certificate", "acme"), Key("Certificate", "beta")


class Bench:
    """A keeper over a folder, documents in force, and a clock that a test moves."""

    def __init__(self, folder: Path, *documents: Json, closed: str = "") -> None:
        self.shop = Shop(folder)
        self.now = datetime.now(UTC)
        self.environment: dict[str, str] = {}
        self.keeper = Keeper(Disk(folder, self.environment), clock=lambda: self.now, closed=closed)
        self.served = Served()
        for body in documents:
            self.served = self.served.changed(worlds.document(**body).key, worlds.document(**body))

    def read(self, *keys: Key) -> Secrets:
        return self.keeper.read(self.served, keys)

    def look(self) -> frozenset[Key]:
        """Two looks, and what they found is read."""
        moved = self.keeper.moved() | self.keeper.moved()
        self.read(*moved)
        return moved

    def codes(self, key: Key = ACME) -> list[tuple[str, str]]:
        return [(one.code, one.path) for one in self.keeper.value.problems.get(key, ())]


def document(name: str = "acme", **more: object) -> Json:
    return Shop.document(name, [f"{name}.example.com"], **more)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path, document(), document("beta"))
    for name in ("acme", "beta"):
        made.shop.put(name, f"{name}.example.com")
    made.read(ACME, BETA)
    assert not made.keeper.value.problems
    return made


def test_files_that_stay_as_they_are_are_not_read_again(bench: Bench) -> None:
    before = bench.keeper.value
    assert bench.look() == frozenset()
    assert bench.keeper.value is before


def test_a_renewed_certificate_is_read_when_two_looks_agree(bench: Bench) -> None:
    before = bench.keeper.value.certificates
    bench.shop.put("acme", "acme.example.com")
    assert bench.keeper.moved() == frozenset()
    assert bench.keeper.moved() == {ACME}
    after = bench.read(ACME).certificates
    assert after["acme"] != before["acme"]
    assert after["beta"] is before["beta"]


def test_a_file_that_is_still_written_is_not_read(bench: Bench) -> None:
    for _ in range(3):
        bench.shop.put("acme", "acme.example.com")
        assert bench.keeper.moved() == frozenset()
    assert bench.keeper.moved() == {ACME}


def test_a_mounted_folder_that_is_exchanged_by_a_link_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Shop(tmp_path / name).put("acme", "acme.example.com")
    (tmp_path / "current").symlink_to("one")
    bench = Bench(tmp_path, document(certificate={"file": "current/acme.pem"}, key={"file": "current/acme.key"}))
    before = bench.read(ACME).certificates["acme"]
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")
    assert bench.look() == {ACME}
    assert bench.keeper.value.certificates["acme"] != before


def test_what_is_gone_or_bad_is_a_problem_and_the_last_good_stays_until_it_is_mended(bench: Bench) -> None:
    before = bench.keeper.value.certificates
    (bench.shop.folder / "acme.key").unlink()
    assert bench.look() == {ACME}
    assert bench.codes() == [("GC411", "key.file")]
    assert "stays in use" in bench.keeper.value.problems[ACME][0].message
    bench.shop.write("acme.key", b"secret words")
    bench.look()
    assert bench.codes() == [("GC412", "key.file")]
    assert "secret" not in str(bench.keeper.value.problems)
    assert bench.keeper.value.certificates == before
    bench.shop.put("acme", "acme.example.com")
    bench.look()
    assert not bench.keeper.value.problems
    assert bench.keeper.value.certificates["acme"] != before["acme"]


def test_a_problem_is_its_tenants(tmp_path: Path) -> None:
    bench = Bench(tmp_path, document(tenant="acme"))
    (problem,) = bench.read(ACME).problems[ACME]
    assert (problem.tenant, problem.severity, problem.path) == ("acme", "error", "certificate.file")
    assert "nothing is used" in problem.message
    assert str(tmp_path) not in str(problem)


def test_a_certificate_ends_while_it_is_in_use(bench: Bench) -> None:
    material = bench.keeper.value.certificates["acme"]
    bench.now = material.end - timedelta(days=20)
    assert bench.keeper.moved() == {ACME, BETA}
    bench.read(ACME, BETA)
    assert bench.codes() == [("GC415", "certificate.file")]
    assert bench.keeper.moved() == frozenset()
    bench.now = material.end
    bench.look()
    assert bench.codes() == [("GC414", "certificate.file")]
    assert "no other" in bench.keeper.value.problems[ACME][0].message
    assert bench.keeper.value.certificates["acme"] == material


def test_the_last_good_one_ends_while_its_successor_is_bad(bench: Bench) -> None:
    (bench.shop.folder / "acme.key").unlink()
    bench.look()
    bench.now = bench.keeper.value.certificates["acme"].end
    bench.look()
    assert bench.codes() == [("GC411", "key.file"), ("GC414", "certificate.file")]


def test_a_document_that_goes_takes_everything_with_it(bench: Bench) -> None:
    bench.served = bench.served.changed(ACME, None)
    value = bench.read(ACME)
    assert set(value.certificates) == {"beta"}
    (bench.shop.folder / "acme.pem").unlink()
    assert bench.look() == frozenset()


def test_a_key_in_a_variable(tmp_path: Path) -> None:
    bench = Bench(tmp_path, document(key={"env": "ACME_KEY"}))
    made = bench.shop.put("acme", "acme.example.com")
    bench.read(ACME)
    assert bench.codes() == [("GC411", "key.env")]
    bench.environment["ACME_KEY"] = made.private_key_pem.bytes().decode()
    assert bench.look() == {ACME}
    assert set(bench.keeper.value.certificates) == {"acme"}


def test_a_large_file_is_not_read_whole(bench: Bench) -> None:
    bench.shop.write("acme.pem", bytes(LARGEST + 1))
    bench.look()
    assert bench.codes() == [("GC411", "certificate.file")]


@pytest.mark.parametrize("what", ["a folder", "a link to itself"])
def test_what_cannot_be_opened_is_a_problem(bench: Bench, what: str) -> None:
    path = bench.shop.folder / "acme.pem"
    path.unlink()
    path.mkdir() if what == "a folder" else path.symlink_to("acme.pem")
    bench.look()
    assert bench.codes() == [("GC411", "certificate.file")]


def test_where_keys_may_not_be_sent_none_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path, document(), worlds.service(tls={"sni": "a.b", "ca_file": "ca.pem"}), closed="not here")
    bench.shop.put("acme", "acme.example.com")
    value = bench.read(ACME, Key("Service", "orders"))
    assert (dict(value.certificates), set(value.authorities)) == ({}, {"ca.pem"})
    assert bench.codes() == [("GC417", "key.file")]


def test_authorities_are_kept_for_as_long_as_somebody_names_them(tmp_path: Path) -> None:
    tls = {"sni": "a.b", "ca_file": "ca.pem"}
    bench = Bench(tmp_path, worlds.service("one", tls=tls), worlds.service("two", tls=tls))
    one, two = Key("Service", "one"), Key("Service", "two")
    assert set(bench.read(one, two).authorities) == {"ca.pem"}
    (tmp_path / "ca.pem").unlink()
    assert bench.look() == {one, two}
    assert bench.codes(one) == bench.codes(two) == [("GC411", "tls.ca_file")]
    assert set(bench.keeper.value.authorities) == {"ca.pem"}
    for key in (one, two):
        bench.served = bench.served.changed(key, None)
    value = bench.read(one, two)
    assert (dict(value.authorities), dict(value.problems)) == ({}, {})


def test_without_a_file_the_authorities_of_the_system_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, worlds.service(tls={"sni": "a.b"}))
    bench.environment["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    assert dict(bench.read(Key("Service", "orders")).authorities) == {SYSTEM: bench.shop.ca.cert_pem.bytes().decode()}


def test_who_shares_a_file_hears_of_its_change_whoever_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path, document(), document("beta", certificate={"file": "acme.pem"}, key={"file": "acme.key"}))
    bench.shop.put("acme", "*.example.com")
    bench.read(ACME, BETA)
    bench.shop.put("acme", "*.example.com")
    bench.read(ACME)  # for another reason, before the change was noticed
    assert bench.keeper.value.certificates["acme"] == bench.keeper.value.certificates["beta"]
    assert bench.look() == frozenset()
