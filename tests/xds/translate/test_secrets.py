"""What a secret and a TLS context come to, and which names clients cannot ask for."""

from datetime import UTC, datetime

import pytest
from worlds import Json, document, gateway, service

from tenants.documents import Gateway, Service
from tenants.secrets.material import Material
from tenants.supplies import Supplies
from tenants.tls import SYSTEM, ListenerTls
from xds import messages, translate
from xds.translate import ClusterSpec, secrets

KEY = "-----BEGIN PRIVATE KEY-----\nhush\n"
MATERIAL = Material("-----BEGIN CERTIFICATE-----\nshown\n", KEY, datetime.now(UTC), datetime.now(UTC))
TLS: Json = {"sni": "orders.internal", "ca_file": "ca.pem"}


def downstream(**tls: object) -> Json:
    return messages.to_dict(secrets.downstream(ListenerTls.model_validate(tls)))["typed_config"]  # type: ignore[no-any-return]


def upstream(tls: Json | None = None, **more: object) -> Json:
    made = document(**service(tls=TLS if tls is None else tls, **more))
    (cluster,) = translate.cluster(made, ClusterSpec("orders"))
    return messages.to_dict(cluster.message)["transport_socket"]["typed_config"]  # type: ignore[no-any-return]


def test_a_secret_has_the_key_and_whoever_shows_it_has_not() -> None:
    made = secrets.certificate("acme.example.com", MATERIAL, "acme")
    assert (made.kind, made.name, made.owner) == ("SDS", "acme.example.com", "acme")
    assert KEY.encode() in messages.encode(made.message)
    shown = messages.to_dict(made.message)
    assert shown["tls_certificate"]["private_key"] == "[redacted]"
    assert "hush" not in str(shown)
    assert shown["tls_certificate"]["certificate_chain"] == {"inline_string": MATERIAL.chain}


def test_every_secret_field_of_envoys_messages_is_left_out() -> None:
    """Fields marked as sensitive in Envoy's API: nobody is shown one of them."""
    names = {field.name for field in secrets.Secret.DESCRIPTOR.fields}
    assert names == {"name", "tls_certificate", "session_ticket_keys", "validation_context", "generic_secret"}
    assert {"session_ticket_keys", "generic_secret", "private_key", "password"} == messages.SECRET


@pytest.mark.parametrize("name", [secrets.certificate_name(""), secrets.certificate_name("a" * 63)])
def test_what_is_not_for_clients_has_a_name_that_no_client_can_ask_for(name: str) -> None:
    assert len(name) > secrets.LONGEST_SNI
    assert name.isascii()


def test_names_differ_and_say_nothing_of_our_files() -> None:
    names = {secrets.authorities_name(file) for file in ("a.pem", "b.pem", SYSTEM)}
    names |= {secrets.certificate_name(one) for one in ("a", "b", "")}
    assert len(names) == 6
    assert not [name for name in names if "pem" in name or len(name) <= secrets.LONGEST_SNI]


def test_a_listener_shows_what_is_asked_for_and_never_speaks_old_tls() -> None:
    found = downstream()
    common = found["common_tls_context"]
    assert common["tls_params"] == {"tls_minimum_protocol_version": "TLSv1_2"}
    assert common["alpn_protocols"] == ["h2", "http/1.1"]
    selector = common["custom_tls_certificate_selector"]["typed_config"]
    assert selector["config_source"] == {"ads": {}, "resource_api_version": "V3"}
    mapper = selector["certificate_mapper"]["typed_config"]
    assert mapper["@type"].endswith("cert_mappers.sni.v3.SNI")
    assert mapper["default_value"] == secrets.certificate_name("")
    assert found["disable_stateless_session_resumption"]
    assert found["disable_stateful_session_resumption"]


def test_a_listener_with_one_certificate_never_asks_for_another() -> None:
    found = downstream(certificate="acme")["common_tls_context"]["custom_tls_certificate_selector"]["typed_config"]
    mapper = found["certificate_mapper"]["typed_config"]
    assert mapper["@type"].endswith("cert_mappers.static_name.v3.StaticName")
    assert mapper["name"] == secrets.certificate_name("acme")


def test_a_service_is_verified_by_name_and_authority() -> None:
    found = upstream()
    assert found["sni"] == "orders.internal"
    combined = found["common_tls_context"]["combined_validation_context"]
    named = combined["default_validation_context"]["match_typed_subject_alt_names"]
    assert named == [{"san_type": "DNS", "matcher": {"exact": "orders.internal"}}]
    assert combined["validation_context_sds_secret_config"]["name"] == secrets.authorities_name("ca.pem")


@pytest.mark.parametrize(("tls", "file"), [({"sni": "a.b"}, SYSTEM), ({"sni": "a.b", "ca_file": "x.pem"}, "x.pem")])
def test_without_a_file_the_system_is_believed(tls: Json, file: str) -> None:
    combined = upstream(tls)["common_tls_context"]["combined_validation_context"]
    assert combined["validation_context_sds_secret_config"]["name"] == secrets.authorities_name(file)


def test_without_verification_nothing_is_verified() -> None:
    found = upstream({"verify": False})["common_tls_context"]
    assert not [name for name in found if "validation" in name]


@pytest.mark.parametrize(("protocol", "alpn"), [("http1", "http/1.1"), ("http2", "h2"), ("grpc", "h2")])
def test_the_protocol_is_offered_by_alpn(protocol: str, alpn: str) -> None:
    assert upstream(protocol=protocol)["common_tls_context"]["alpn_protocols"] == [alpn]


def test_a_name_that_the_proxy_resolves_is_the_name_that_is_verified() -> None:
    found = upstream({}, dns="Orders.internal:443")
    assert found["sni"] == "orders.internal"


def test_a_service_is_ready_when_all_that_it_names_is_there() -> None:
    made: Service = document(**service(tls={**TLS, "certificate": "ours"}))
    supplies = Supplies()
    assert not secrets.ready(made, supplies)
    supplies = Supplies(certificates=supplies.certificates.set("ours", MATERIAL))
    assert not secrets.ready(made, supplies)
    supplies = Supplies(certificates=supplies.certificates, authorities=supplies.authorities.set("ca.pem", "x"))
    assert secrets.ready(made, supplies)
    assert secrets.ready(document(**service(tls={"verify": False})), Supplies())


def test_a_listener_whose_authorities_are_lacking_is_not_among_those_that_are_sent() -> None:
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2, "tls": {"client_ca": "ca.pem"}}]
    made: Gateway = document(**gateway(listeners=ports))
    assert [one.name for one in translate.listeners(made)] == ["a", "b"]
    assert [one.name for one in translate.listeners(made, frozenset({"ca.pem"}))] == ["a"]
