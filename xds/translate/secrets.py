"""Certificates and authorities as secrets (SDS), and the TLS contexts that name them. Called by `listeners`,
`clusters` and `xds.builder`.

A client that asks for a name (SNI) is shown the secret of just that name, which Envoy asks for when it first needs it:
a tenant that brings a certificate changes no listener (docs/decisions/0009). So a client chooses which secret Envoy
asks for, and everything that is not for clients has a name that no SNI can be: Envoy takes SNI of 255 bytes at most.
"""

import hashlib

from google.protobuf.message import Message

from tenants.documents import Gateway, Service
from tenants.secrets.material import Material
from tenants.supplies import Supplies
from tenants.tls import ListenerTls, Tls
from xds import messages
from xds.translate.built import Built
from xds.translate.sources import ADS

_TLS = "envoy.extensions.transport_sockets.tls."
_SELECTOR = _TLS + "cert_selectors.on_demand_secret.v3.Config"
Secret = messages.message(_TLS + "v3.Secret")
TlsCertificate = messages.message(_TLS + "v3.TlsCertificate")
ValidationContext = messages.message(_TLS + "v3.CertificateValidationContext")
CombinedContext = messages.message(_TLS + "v3.CommonTlsContext.CombinedCertificateValidationContext")
SubjectAltNameMatcher = messages.message(_TLS + "v3.SubjectAltNameMatcher")
CommonTlsContext = messages.message(_TLS + "v3.CommonTlsContext")
DownstreamTlsContext = messages.message(_TLS + "v3.DownstreamTlsContext")
UpstreamTlsContext = messages.message(_TLS + "v3.UpstreamTlsContext")
TlsParameters = messages.message(_TLS + "v3.TlsParameters")
SdsSecretConfig = messages.message(_TLS + "v3.SdsSecretConfig")
OnDemand = messages.message(_SELECTOR)
Sni = messages.message(_TLS + "cert_mappers.sni.v3.SNI")
StaticName = messages.message(_TLS + "cert_mappers.static_name.v3.StaticName")
TypedExtensionConfig = messages.message("envoy.config.core.v3.TypedExtensionConfig")
TransportSocket = messages.message("envoy.config.core.v3.TransportSocket")
DataSource = messages.message("envoy.config.core.v3.DataSource")
StringMatcher = messages.message("envoy.type.matcher.v3.StringMatcher")
BoolValue = messages.message("google.protobuf.BoolValue")

LONGEST_SNI = 255
_VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}


def certificate_name(certificate: str) -> str:
    """The secret of a Certificate document where it is named by id. "" is nobody's."""
    return f"certificate:{certificate}".ljust(LONGEST_SNI + 1, ".")


def authorities_name(file: str) -> str:
    """The secret of the authorities in a file; proxies are not told where the control plane has its files."""
    return f"authorities:{hashlib.sha256(file.encode()).hexdigest()[:16]}".ljust(LONGEST_SNI + 1, ".")


def certificate(name: str, found: Material, owner: str = "") -> Built:
    """A certificate with its key."""
    shown = TlsCertificate(
        certificate_chain=DataSource(inline_string=found.chain), private_key=DataSource(inline_string=found.key)
    )
    return Built("SDS", name, Secret(name=name, tls_certificate=shown), owner=owner)


def authorities(file: str, text: str) -> Built:
    """Whom to believe."""
    name = authorities_name(file)
    context = ValidationContext(trusted_ca=DataSource(inline_string=text))
    return Built("SDS", name, Secret(name=name, validation_context=context))


def by_name(gateway: Gateway) -> bool:
    """Whether clients of this gateway are shown the certificate of the name they ask for."""
    return any(one.tls and not one.tls.certificate for one in gateway.listeners)


def of_gateway(gateway: Gateway) -> tuple[frozenset[str], frozenset[str]]:
    """The certificates that its listeners name, by id, and the files of authorities."""
    said = [one.tls for one in gateway.listeners if one.tls]
    named = {name for one in said for name in (one.certificate, one.default) if name}
    return frozenset(named), frozenset(one.client_ca for one in said if one.client_ca)


def of_service(service: Service) -> tuple[frozenset[str], frozenset[str]]:
    """The same for a service."""
    tls = service.tls or Tls(verify=False)
    files = [] if tls.authorities is None else [tls.authorities]
    return frozenset(filter(None, [tls.certificate])), frozenset(files)


def ready(service: Service, supplies: Supplies) -> bool:
    """Whether everything is there that its TLS needs; a cluster without would hold up a proxy that starts."""
    certificates, files = of_service(service)
    return certificates <= frozenset(supplies.certificates) and files <= frozenset(supplies.authorities)


def downstream(tls: ListenerTls) -> Message:
    """TLS of a listener. Sessions are not resumed: Envoy cannot with certificates that come when they are needed."""
    common = CommonTlsContext(
        tls_params=TlsParameters(tls_minimum_protocol_version=_VERSIONS[tls.min_version]),
        alpn_protocols=["h2", "http/1.1"],
        custom_tls_certificate_selector=_extension("envoy.tls.certificate_selectors.on_demand_secret", _on_demand(tls)),
    )
    if tls.client_ca:
        common.MergeFrom(CommonTlsContext(validation_context_sds_secret_config=_sds(authorities_name(tls.client_ca))))
    context = DownstreamTlsContext(
        common_tls_context=common,
        require_client_certificate=BoolValue(value=tls.require_client_certificate),
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
    )
    return _socket(context)


def upstream(service: Service, tls: Tls) -> Message:
    """TLS of a cluster."""
    name = tls.sni or (service.dns.host if service.dns else "")
    common = CommonTlsContext(
        tls_params=TlsParameters(tls_minimum_protocol_version="TLSv1_2", tls_maximum_protocol_version="TLSv1_3"),
        alpn_protocols=["http/1.1"] if service.protocol == "http1" else ["h2"],
        tls_certificate_sds_secret_configs=[_sds(certificate_name(tls.certificate))] if tls.certificate else [],
    )
    if tls.authorities is not None:
        common.MergeFrom(_verified(name, tls.authorities))
    return _socket(UpstreamTlsContext(common_tls_context=common, sni=name))


def _verified(name: str, file: str) -> Message:
    """The certificate of the service must have this name, and be signed by these authorities."""
    named = [SubjectAltNameMatcher(san_type="DNS", matcher=StringMatcher(exact=name))]
    combined = CombinedContext(
        default_validation_context=ValidationContext(match_typed_subject_alt_names=named),
        validation_context_sds_secret_config=_sds(authorities_name(file)),
    )
    return CommonTlsContext(combined_validation_context=combined)


def _on_demand(tls: ListenerTls) -> Message:
    if tls.certificate:
        fixed = StaticName(name=certificate_name(tls.certificate))
        mapper = _extension("envoy.tls.certificate_mappers.static_name", fixed)
    else:
        asked = Sni(default_value=certificate_name(tls.default or ""))
        mapper = _extension("envoy.tls.certificate_mappers.sni", asked)
    return OnDemand(config_source=ADS, certificate_mapper=mapper)


def _sds(name: str) -> Message:
    return SdsSecretConfig(name=name, sds_config=ADS)


def _extension(name: str, config: Message) -> Message:
    return TypedExtensionConfig(name=name, typed_config=messages.pack(config))


def _socket(context: Message) -> Message:
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=messages.pack(context))
