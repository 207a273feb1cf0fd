"""Process settings: where a value comes from, and what a wrong one is told."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gatecast.config import Settings, load
from tenants.errors import Refused


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "config"]:
        monkeypatch.delenv(f"GATECAST_{name.upper()}", raising=False)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "gatecast.yaml"
    file.write_text(text)
    return file


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "settings: from-file\nxds: 127.0.0.1:1\napi: 127.0.0.1:1\ndrain: 1\n")
    monkeypatch.setenv("GATECAST_XDS", "127.0.0.1:2")
    monkeypatch.setenv("GATECAST_API", "127.0.0.1:2")
    found = load({"api": "127.0.0.1:3", "settings": None, "xds": None}, file)
    assert (str(found.settings), found.xds.port, found.api.port, found.drain) == ("from-file", 2, 3, 1.0)
    assert (found.quiet, found.log_format) == (0.05, "auto")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATECAST_CONFIG", str(written(tmp_path, "settings: there\nallow_empty: true\n")))
    assert load({}).allow_empty


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    file = written(tmp_path, "settings: there\nlog-levle: info\nzzzz: 1\n")
    with pytest.raises(Refused) as refused:
        load({}, file)
    first, second = str(refused.value).splitlines()
    assert first == f"configuration file {file}: 'log-levle' is not a setting; did you mean 'log_level'?"
    assert second.startswith(f"configuration file {file}: 'zzzz' is not a setting; known keys: settings, store, xds")


def test_variables_that_kubernetes_makes_up_are_no_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATECAST_PORT", "tcp://10.0.0.1:18000")
    assert load({"settings": "there"}).xds.port == 18000


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("flag", "--drain: Input should be less than or equal to 9, and it is '60'"),
        ("environment", "GATECAST_DRAIN: Input should be less than or equal to 9, and it is '60'"),
        ("file", "drain: Input should be less than or equal to 9, and it is 60"),
    ],
)
def test_a_wrong_value_is_told_with_its_source(
    source: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "environment":
        monkeypatch.setenv("GATECAST_DRAIN", "60")
    file = written(tmp_path, "drain: 60\n" if source == "file" else "")
    flags = {"settings": "there", **({"drain": "60"} if source == "flag" else {})}
    with pytest.raises(Refused) as refused:
        load(flags, file)
    assert str(refused.value).endswith(said)


def test_a_missing_directory_says_how_to_give_it() -> None:
    with pytest.raises(Refused, match=r"^settings is not given: --settings DIR, GATECAST_SETTINGS, or .*--store"):
        load({})


@pytest.mark.parametrize("name", ["xds", "api"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.1.2.3:1", "gatecast.example:1"])
def test_an_address_beyond_loopback_needs_insecure(name: str, address: str) -> None:
    with pytest.raises(Refused, match=f"^{name}: .*who they are.*--insecure"):
        load({"settings": "there", name: address})
    assert str(getattr(load({"settings": "there", name: address, "insecure": True}), name)) == address


TLS = {"xds_certificate": "a.pem", "xds_key": "a.key", "xds_client_ca": "ca.pem"}


def test_who_asks_proxies_who_they_are_may_listen_beyond_loopback_and_hand_out_keys() -> None:
    found = load({"settings": "there", "xds": "0.0.0.0:1", **TLS})
    assert found.keyless == ""
    assert load({"settings": "there"}).keyless == ""
    with pytest.raises(Refused, match=r"^api: .*operators are not asked"):
        load({"settings": "there", "api": "0.0.0.0:1", **TLS})


@pytest.mark.parametrize("given", [{"api_tokens": True}, {"oidc_issuer": "https://id.example"}])
def test_who_asks_operators_who_they_are_may_listen_beyond_loopback(given: dict[str, Any]) -> None:
    found = load({"settings": "there", "api": "0.0.0.0:1", **given})
    assert (found.named, found.alone) == (True, False)
    assert not load({"settings": "there", **given}).alone
    assert load({"settings": "there"}).alone
    assert not load({"settings": "there", "insecure": True}).alone


def test_a_mapping_is_given_as_pairs_or_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"proxy.internal": "edge", "*.a.b": "*"}
    assert load({"settings": "there", "xds_clients": "proxy.internal=edge, *.a.b=*"}).xds_clients == wanted
    monkeypatch.setenv("GATECAST_XDS_CLIENTS", "proxy.internal=edge,*.a.b=*")
    assert load({"settings": "there"}).xds_clients == wanted
    monkeypatch.delenv("GATECAST_XDS_CLIENTS")
    file = written(tmp_path, "settings: there\nxds_clients: {proxy.internal: edge, '*.a.b': '*'}\n")
    assert load({}, file).xds_clients == wanted
    for bad in ("edge", "a=", "=edge", "a=b,c"):
        with pytest.raises(Refused, match="name=value,name=value"):
            load({"settings": "there", "xds_clients": bad})
    with pytest.raises(Refused, match="--oidc-roles"):
        load({"settings": "there", "oidc_roles": "ops=root"})


@pytest.mark.parametrize("one", ["api_certificate", "api_key"])
def test_half_of_tls_for_operators_is_refused(one: str) -> None:
    with pytest.raises(Refused, match="needs api_certificate and api_key"):
        load({"settings": "there", one: "a.pem"})


@pytest.mark.parametrize("lacking", [set(TLS), {"xds_client_ca"}])
def test_no_key_is_handed_out_to_whoever_comes(lacking: set[str]) -> None:
    given = {name: value for name, value in TLS.items() if name not in lacking}
    assert "xds_client_ca" in load({"settings": "there", "xds": "0.0.0.0:1", "insecure": True, **given}).keyless


@pytest.mark.parametrize("lacking", ["xds_certificate", "xds_key"])
def test_half_of_tls_is_refused(lacking: str) -> None:
    with pytest.raises(Refused, match="needs xds_certificate and xds_key"):
        load({"settings": "there", **{name: value for name, value in TLS.items() if name != lacking}})


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "a: [\n", "a: \x00\n"])
def test_a_file_that_is_no_mapping_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"gatecast\.yaml"):
        load({}, written(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no such file"):
        load({}, tmp_path / "nothing.yaml")


def test_settings_cannot_be_changed() -> None:
    found = load({"settings": "there"})
    with pytest.raises(ValidationError, match="frozen"):
        found.drain = 1.0  # type: ignore[misc]
