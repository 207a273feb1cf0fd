"""Settings of the server process: flags over `GATECAST_*` over a file over defaults. `gatecast serve` loads them.

The file is YAML with the names of the fields as keys. Unknown keys in it are errors; unknown `GATECAST_*` variables are
not, because Kubernetes makes some up for every service of that name (GATECAST_PORT and so on).
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from gatecast.addresses import Address
from gatecast.exits import Usage
from gatecast.sinks import Hook, Post, people, person

PREFIX = "GATECAST_"
MEMORY = "memory"
"""The store that is gone with the process: no history, and what only the API wrote is lost."""
FILE = f"{PREFIX}CONFIG"
MOST_SECONDS = 9.0  # draining has to leave time for the rest of the ten seconds that an orchestrator grants


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    try:
        return Address.parse(str(value))
    except Usage as error:
        raise PydanticCustomError("address", "{why}", {"why": str(error)}) from None


def _by(parse: Callable[[str], Any]) -> BeforeValidator:
    """Read by `parse`, whose errors do not repeat what may be a secret; and nothing else is said about it."""

    def read(value: object) -> object:
        if isinstance(value, Hook | Post):
            return value  # a test or the demo made it
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        try:
            return parse(text)
        except Usage as error:
            raise PydanticCustomError("address", "{why}", {"why": str(error)}) from None

    return BeforeValidator(read)


def _unread(default: Any, description: str) -> Any:
    """A field whose default is no text to be read."""
    return Field(default, description=description, validate_default=False)


def _pairs(value: object) -> object:
    """`name=value,name=value` as a mapping, which a file has as it is."""
    if not isinstance(value, str):
        return value
    pairs = [one.partition("=") for one in value.split(",") if one.strip()]
    if not all(equals and name.strip() and said.strip() for name, equals, said in pairs):
        raise PydanticCustomError("address", "{why}", {"why": f"{value!r} is not a list as in name=value,name=value"})
    return {name.strip(): said.strip() for name, _, said in pairs}


Role = Literal["viewer", "editor", "admin"]


def _registry(text: str) -> str:
    if not re.match(r"https?://[^/?#]", text):
        raise Usage("it is no URL of a registry: as in https://registry.example.com/settings")
    return text


ListenAddress = Annotated[Address, BeforeValidator(_address), NoDecode]
Seconds = Annotated[float, Field(ge=0, le=60)]


class Settings(BaseSettings):
    """What one server process is told. Times are in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    settings: Path | None = Field(None, description="directory with the settings documents")
    store: str = Field(
        "sqlite:///gatecast.db", repr=False, description="the store: a file, sqlite:///..., postgresql://... or memory"
    )
    xds: ListenAddress = Field(Address("127.0.0.1", 18000), description="where proxies connect (gRPC)")
    api: ListenAddress = Field(Address("127.0.0.1", 18001), description="where operators connect (HTTP)")
    secrets: Path | None = Field(None, description="directory of keys and certificates, else `settings`")
    xds_certificate: Path | None = Field(None, description="TLS for proxies: our certificate (PEM)")
    xds_key: Path | None = Field(None, description="TLS for proxies: its key (PEM)")
    xds_client_ca: Path | None = Field(None, description="who signs the certificates that proxies must show")
    xds_clients: Annotated[Mapping[str, str], BeforeValidator(_pairs), NoDecode] = Field(
        {}, description="gateway, or * for all, by a DNS name or SPIFFE id of a proxy's certificate"
    )
    xds_trust_domain: str | None = Field(None, description="the trust domain whose SPIFFE ids name gateways, else any")
    api_tokens: bool = Field(False, description="operators must show a token, also on loopback")
    api_certificate: Path | None = Field(None, description="TLS for operators: our certificate (PEM)")
    api_key: Path | None = Field(None, description="TLS for operators: its key (PEM)")
    oidc_issuer: str | None = Field(None, description="identity provider whose JWTs operators may show (a URL)")
    oidc_audience: str = Field("gatecast", description="what must be in the `aud` of those tokens")
    oidc_role_claim: str = Field("roles", description="the claim that holds roles; a.b is b inside a")
    oidc_name_claim: str = Field("sub", description="the claim that names the operator in the audit")
    oidc_roles: Annotated[Mapping[str, Role], BeforeValidator(_pairs), NoDecode] = Field(
        {}, description="role by a value of that claim; not given: gatecast-viewer and so on"
    )
    allow_empty: bool = Field(False, description="start without a single good document")
    insecure: bool = Field(False, description="listen beyond loopback although nobody is asked who he is")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else JSON")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    drain: Annotated[float, Field(ge=0, le=MOST_SECONDS)] = Field(5.0, description="for streams to end at shutdown")
    quiet: Seconds = Field(0.05, description="a change is read when files have been quiet for so long")
    keys_stale: Annotated[float, Field(ge=60)] = Field(
        86400.0, description="how long the keys of an issuer serve after they were last fetched"
    )
    bound: Seconds = Field(0.5, description="at the latest so long after the first change")
    registry: Annotated[str | None, _by(_registry)] = _unread(None, "address of a settings registry")
    registry_token: SecretStr | None = Field(None, description="what is shown to the registry (bearer)")
    registry_secret: SecretStr | None = Field(None, description="what the registry's webhook has to know")
    registry_every: Annotated[float, Field(ge=1)] = Field(300.0, description="the registry is asked so often")
    keep_revisions: Annotated[int, Field(ge=1)] = Field(1000, description="so many of the newest revisions are kept")
    keep_days: Annotated[float, Field(ge=0, le=36500)] = Field(90.0, description="and every one younger than so many")
    notify_webhook: Annotated[Hook | None, _by(Hook.parse), NoDecode] = _unread(None, "URL to tell by JSON")
    notify_smtp: Annotated[Post | None, _by(Post.parse), NoDecode] = _unread(None, "mail server to tell by")
    notify_from: Annotated[str | None, _by(person)] = _unread(None, "who the mail is from")
    notify_to: Annotated[tuple[str, ...], _by(people), NoDecode] = _unread((), "who gets the mail")
    notify_after: Annotated[float, Field(ge=0)] = Field(30.0, description="a fault is told when it lasted so long")
    notify_every: Annotated[float, Field(ge=1)] = Field(300.0, description="one message a subject in so long, at most")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load` has put the layers together, so that it can say where a wrong value came from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _sourced(self) -> Self:
        if self.settings is None and not {"store", "registry"} & self.model_fields_set:
            raise PydanticCustomError("sourceless", "{why}", {"why": _SOURCES})
        return self

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not (self.xds.loopback or self.insecure or self.xds_client_ca):
            raise PydanticCustomError("exposed", "{why}", {"why": _exposed("xds", self.xds, _PROXIES)})
        if not (self.api.loopback or self.insecure or self.named):
            raise PydanticCustomError("exposed", "{why}", {"why": _exposed("api", self.api, _OPERATORS)})
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = self.xds_certificate, self.xds_key
        if any(given) != all(given) or (self.xds_client_ca and not all(given)):
            why = "TLS for proxies needs xds_certificate and xds_key, and then xds_client_ca to know who they are"
            raise PydanticCustomError("incomplete", "{why}", {"why": why})
        return self

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if (self.api_certificate is None) != (self.api_key is None):
            why = "TLS for operators needs api_certificate and api_key"
            raise PydanticCustomError("incomplete", "{why}", {"why": why})
        return self

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.notify_smtp and not (self.notify_from and self.notify_to):
            why = "mail (notify_smtp) needs notify_from, who it is from, and notify_to, who gets it"
            raise PydanticCustomError("incomplete", "{why}", {"why": why})
        return self

    @property
    def named(self) -> bool:
        """Whether operators are asked who they are, wherever they come from."""
        return self.api_tokens or self.oidc_issuer is not None

    @property
    def alone(self) -> bool:
        """Whether nobody is asked, for the API is on loopback and only this machine reaches it."""
        return self.api.loopback and not self.insecure and not self.named

    @property
    def keyless(self) -> str:
        """Why no private key may be handed to proxies: whoever reaches the server is one. "" if they may."""
        if self.xds.loopback or self.xds_client_ca:
            return ""
        return f"{self.xds} can be reached from other machines, and proxies do not show who they are (xds_client_ca)"


_SOURCES = (
    f"settings is not given: --settings DIR, {PREFIX}SETTINGS, or 'settings' in a configuration file; "
    "or name a store (--store) or a registry, and serve what that holds"
)
_PROXIES = "proxies do not show who they are: give xds_certificate, xds_key and xds_client_ca"
_OPERATORS = "operators are not asked who they are: give api_tokens or oidc_issuer"


def _exposed(name: str, address: Address, lacking: str) -> str:
    return (
        f"{name}: {address} can be reached from other machines, and {lacking}; or listen on 127.0.0.1, or say "
        "--insecure if your network keeps others out: whoever reaches it reads every tenant's settings"
    )


def load(flags: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of this process; a flag that is None was not given. Raises `Usage` naming the value."""
    given = {name: value for name, value in flags.items() if value is not None}
    variables = EnvSettingsSource(Settings)()
    path = config or (Path(os.environ[FILE]) if os.environ.get(FILE) else None)
    layers = {"flag": given, "environment": variables, "file": _file(path) if path else {}}
    try:
        return Settings(**{**layers["file"], **layers["environment"], **layers["flag"]})
    except ValidationError as error:
        raise Usage("\n".join(_told(item, layers, path) for item in error.errors(include_url=False))) from None


def _file(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Usage(f"configuration file {path}: {(error.strerror or str(error)).lower()}") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise Usage(f"configuration file {path} is not valid YAML: {error}") from None
    if not isinstance(read or {}, dict):
        raise Usage(f"configuration file {path} must be a mapping, as in `settings: /etc/gatecast/settings`")
    found = {str(key): value for key, value in (read or {}).items()}
    wrong = [_unknown(key, path) for key in found if key not in Settings.model_fields]
    if wrong:
        raise Usage("\n".join(wrong))
    return found


def _unknown(key: str, path: Path) -> str:
    near = difflib.get_close_matches(key.replace("-", "_").lower(), Settings.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(Settings.model_fields)
    return f"configuration file {path}: {key!r} is not a setting; {hint}"


def _told(item: Any, layers: Mapping[str, Mapping[str, Any]], path: Path | None) -> str:
    name = str(item["loc"][0]) if item["loc"] else ""
    if not name:
        return str(item["msg"])
    names = {
        "flag": f"--{name.replace('_', '-')}",
        "environment": f"{PREFIX}{name.upper()}",
        "file": f"configuration file {path}: {name}",
    }
    source = next((label for layer, label in names.items() if name in layers[layer]), name)
    return f"{source}: {item['msg']}" + ("" if item["type"] == "address" else f", and it is {item['input']!r}")
