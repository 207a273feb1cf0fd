"""Reads files of the secrets directory and variables of the environment. Blocking; `keeper` calls it in a thread."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tenants.tls import SYSTEM

LARGEST = 1 << 20
"""Bytes of a file or variable: 1,000 certificates have room in it."""

BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the authorities that they believe: Debian, Red Hat, Alpine and others."""

Stamp = tuple[int, ...] | str
"""Differs if the content may: device, inode, size and times of a file, the hash of a variable, or why there is none."""


class Spot(NamedTuple):
    """What a document names: a file of the secrets directory (or SYSTEM), or a variable."""

    file: str | None = None
    env: str | None = None

    def __str__(self) -> str:
        """As messages name it."""
        if self.file == SYSTEM:
            return "what this system believes (SSL_CERT_FILE)"
        return f"the file {self.file}" if self.file else f"the variable {self.env}"


class Unreadable(Exception):
    """There is nothing to read; the text says why. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Where secrets are. Symlinks are followed, as those of mounted Kubernetes secrets must be."""

    root: Path
    environment: Mapping[str, str]

    def read(self, spot: Spot) -> bytes:
        """The content. Raises `Unreadable`."""
        if spot.env is not None:
            return self._variable(spot.env)
        try:
            with open(self._path(spot), "rb") as file:
                found = file.read(LARGEST + 1)
        except OSError as error:
            raise Unreadable(_why(error)) from None
        if len(found) > LARGEST:
            raise Unreadable(f"it is larger than {LARGEST >> 20} MiB")
        return found

    def stamp(self, spot: Spot) -> Stamp:
        """Where the content may have changed, this has."""
        if spot.env is not None:
            return str(hash(self.environment.get(spot.env)))
        try:
            found = os.stat(self._path(spot))
        except OSError as error:
            return _why(error)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _path(self, spot: Spot) -> str:
        if spot.file != SYSTEM:
            return f"{self.root}/{spot.file}"
        said = self.environment.get("SSL_CERT_FILE")
        places = [place for place in (said, *BUNDLES) if place]
        return next((path for path in places if os.path.exists(path)), places[0])

    def _variable(self, name: str) -> bytes:
        if name not in self.environment:
            raise Unreadable("it is not set")
        return self.environment[name].encode()


def _why(error: OSError) -> str:
    return (error.strerror or "it cannot be opened").lower()


NOTHING = Disk(Path(os.devnull), {})
"""Where no secret is: for processes that were not told of a place."""
