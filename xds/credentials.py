"""TLS of the xDS server: certificate and key, and whom proxies must have their certificates from. Called by
`gatecast.serve`.

The files are looked at again at every connection. What is bad then is logged, and what was good before stays in use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import structlog

from tenants.errors import Refused
from tenants.secrets.material import Bad, authorities, flaws, material

log = structlog.get_logger("gatecast.xds")


@dataclass(frozen=True, slots=True)
class Files:
    """Where they are. Without `client_ca` a proxy is not asked who it is."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Those that are given."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


def credentials(files: Files) -> grpc.ServerCredentials:
    """For `AdsServer.start`. Raises `Refused` if they cannot be used."""
    first = stamps(files)
    configuration = _read(files)
    mutual = files.client_ca is not None
    made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        configuration, again(files, first), require_client_authentication=mutual
    )
    return made


def again(files: Files, known: object) -> Callable[[], Any]:
    """A function that gRPC calls at each connection: the newer configuration, or None. `known`: the stamps read."""

    def look() -> Any:
        nonlocal known
        try:
            now = stamps(files)
            if now == known:
                return None
            known, found = now, _read(files)
        except Refused as error:
            log.warning("TLS of the xDS server: the files changed and cannot be used", error=str(error))
            return None
        log.info("TLS of the xDS server: read again", certificate=str(files.certificate))
        return found

    return look


def stamps(files: Files) -> tuple[tuple[int, int, int, int], ...]:
    """Differs if a file may have changed. Raises `Refused`."""
    found = [_asked(path, path.stat) for path in files.all]
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)


def _read(files: Files) -> Any:
    chain, key, *rest = (_asked(path, path.read_bytes) for path in files.all)
    try:
        found = material(chain, key)
        if errors := flaws(found, (), datetime.now(UTC))[:1]:
            if errors[0].severity == "error":
                raise Bad(errors[0])
            log.warning("TLS of the xDS server", problem=errors[0].message)
        root = authorities(rest[0], "client_ca", datetime.now(UTC)).encode() if rest else None
    except Bad as bad:
        raise Refused(f"TLS of the xDS server ({', '.join(map(str, files.all))}): {bad.flaw.message}") from None
    return grpc.ssl_server_certificate_configuration([(found.key.encode(), found.chain.encode())], root)


def _asked(path: Path, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except OSError as error:
        raise Refused(f"TLS of the xDS server: {path}: {(error.strerror or str(error)).lower()}") from None
