"""What documents say about TLS: where certificates and keys are, how a listener and a service use them.

No document holds a key: it names a file or a variable that the control plane reads (`tenants.secrets`). Built into
`tenants.documents`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from tenants.model import Strict
from tenants.paths import exactly_one
from tenants.values import Bool, Host, Id, fault, host_name

SYSTEM = ""
"""Stands for the file with the authorities that the control plane's operating system believes."""

_MARK = "-----BEGIN"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_FILE = "a path inside the secrets directory, without .., as in certificates/acme.pem"


def _secret_file(text: str) -> str:
    """The messages do not repeat the text: it may be the secret itself."""
    if _MARK in text:
        raise fault("GC125", "the secret itself stands here", f"put it into a file and name that: {_FILE}")
    parts = text.split("/")
    if not text.isprintable() or len(text) > 512 or text.startswith("/") or {"", ".", ".."} & set(parts):
        raise fault("GC126", "this is not the path of a file in the secrets directory", _FILE)
    return text


def _variable(text: str) -> str:
    if _MARK in text:
        raise fault("GC125", "the secret itself stands here", "put it into a variable and name that")
    if not _VARIABLE.fullmatch(text):
        raise fault("GC126", "this is not the name of a variable", "letters, digits and _, as in ACME_KEY")
    return text


def _no_text(value: Any) -> Any:
    """A text in place of the mapping is most likely the secret itself, so it is not shown."""
    if isinstance(value, Mapping | Place):
        return value
    if _MARK in str(value):
        raise fault("GC125", "the secret itself stands here", "{file: PATH} or {env: NAME} that says where it is")
    raise fault("GC104", "this is not a mapping", "{file: PATH} or {env: NAME}")


def _pattern(text: str) -> str:
    return "*." + host_name(text[2:]) if text.startswith("*.") else host_name(text)


SecretFile = Annotated[str, AfterValidator(_secret_file)]
Variable = Annotated[str, AfterValidator(_variable)]
HostPattern = Annotated[str, AfterValidator(_pattern)]


class Place(Strict):
    """Where the control plane finds something: a file in its secrets directory, or a variable of its environment."""

    file: SecretFile | None = None
    env: Variable | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "file", "env")
        return self


Hidden = Annotated[Place, BeforeValidator(_no_text)]


class ListenerTls(Strict):
    """TLS towards clients. Without `certificate` a client gets the certificate of the name it asks for (SNI).

    `certificate` is shown whatever is asked for, `default` to who asks for no name. `client_ca` are the authorities
    of client certificates.
    """

    min_version: Literal["1.2", "1.3"] = "1.2"
    certificate: Id | None = None
    default: Id | None = None
    client_ca: SecretFile | None = None
    require_client_certificate: Bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.certificate and self.default:
            raise fault("GC107", "`certificate` is for everybody, so there is nobody left for `default`", "one of them")
        if self.require_client_certificate and not self.client_ca:
            raise fault("GC103", "a client certificate is demanded and `client_ca` does not say whose", "add it")
        return self


class Tls(Strict):
    """TLS towards a service. Without `ca_file` the authorities of the control plane's system count.

    `sni` is the name that is asked for and that the service's certificate must have. `certificate` is ours.
    """

    sni: Host | None = None
    ca_file: SecretFile | None = None
    verify: Bool = True
    certificate: Id | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.verify and self.ca_file:
            raise fault("GC107", "`ca_file` is given and `verify` is false", "one of them")
        return self

    @property
    def authorities(self) -> str | None:
        """The file with those who are believed, or SYSTEM; None if nothing is verified."""
        return (self.ca_file or SYSTEM) if self.verify else None
