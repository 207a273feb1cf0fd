"""`gatecast bundle`: what helps to find a fault, in one archive without secrets."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gatecast import output, remote
from gatecast.remote import Server
from tenants.errors import GatecastError, Refused

Part = Callable[[], bytes]
"""Gets the content of a file. Raises `GatecastError`."""

PATHS: Mapping[str, str] = {
    "health.json": "/readyz",
    "snapshots.json": "/api/v1/snapshots",
    "problems.json": "/api/v1/problems?limit=1000",
    "sources.json": "/api/v1/sources",
    "revisions.json": "/api/v1/revisions?limit=100",
    "pins.json": "/api/v1/pins",
    "audit-check.json": "/api/v1/audit/verify",
}
"""A file each, as the API answers; without any document and any token."""


@click.command("bundle")
@click.option("-f", "--file", type=click.Path(path_type=Path), help="[default: gatecast-bundle-TIME.tar.gz]")
@click.option("--config", type=click.Path(path_type=Path), help="The server's configuration file, to be put in, too.")
@remote.server
@output.option()
def command(file: Path | None, config: Path | None, server: Server, output: str) -> None:
    """Collect what helps to find a fault in one archive: state, proxies, problems, metrics, history, configuration.

    Secrets are hidden, and no document is in it. What could not be had is listed in errors.json. Look through it before
    you give it away.
    """
    from gatecast.output import counted, show
    from gatecast.progress import progress

    now = datetime.now(UTC)
    path = file or Path(f"gatecast-bundle-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    errors: dict[str, str] = {}
    parts: dict[str, bytes] = {}
    work = dict(_parts(server, config, os.environ))
    with progress("collecting", len(work)) as advance:
        for number, (name, get) in enumerate(work.items(), 1):
            try:
                parts[name] = get()
            except GatecastError as error:
                errors[name] = str(error)
            advance(number)
    parts["errors.json"] = _written(errors)
    _archive(path, parts, now)
    data = {"file": str(path), "parts": sorted(parts), "errors": errors}
    missing = [f"  without {name}: {why}" for name, why in errors.items()]
    show(output, data, lambda _wide: "\n".join([*missing, f"{path}: {counted(len(parts), 'file')}"]))


def _parts(server: Server, config: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[str, Part]]:
    """The name of each file, and how to get its content."""
    from gatecast.commands.clients import CLIENT
    from gatecast.look import look

    yield "versions.json", lambda: _written(_versions())
    yield "environment.json", lambda: _written(environment(environ))
    yield "status.json", lambda: _written(look(server))
    yield "clients.json", lambda: _written(list(server.pages("/api/v1/clients", "clients", CLIENT)))
    yield "metrics.txt", lambda: server.text("/metrics").encode()
    for name, path in PATHS.items():
        yield name, lambda path=path: _written(_json(server, path))  # type: ignore[misc]
    if config:
        yield "config.yaml", lambda: _configuration(config)


def environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Our variables without what may be a secret."""
    return quiet({name: value for name, value in sorted(environ.items()) if name.startswith("GATECAST_")})


def quiet(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without secrets. The address of a webhook is one as a whole."""
    from tenants.store import redacted
    from tenants.store.redaction import HIDDEN

    hooks = {name: HIDDEN for name in settings if name.lower().endswith(("notify_webhook", "notify_smtp"))}
    found: dict[str, Any] = redacted({**settings, **hooks})
    return found


def _json(server: Server, path: str) -> Any:
    answer = server.read(path)
    try:
        return {"status": answer.status_code, "answer": answer.json()}
    except ValueError:
        return {"status": answer.status_code, "answer": answer.text}


def _versions() -> dict[str, Any]:
    import platform

    from gatecast.about import version

    return {"gatecast": version(), "python": platform.python_version(), "system": platform.platform()}


def _configuration(path: Path) -> bytes:
    """The configuration file without secrets. Raises `Refused`."""
    import yaml

    from gatecast.output import as_yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError:
        raise Refused(f"{path} is not YAML") from None
    if not isinstance(read, dict):
        raise Refused(f"{path} is no configuration file: it is not a mapping")
    return as_yaml(quiet({str(name): value for name, value in read.items()})).encode()


def _written(value: Any) -> bytes:
    from tenants.store import redacted

    return (json.dumps(redacted(value), indent=1, ensure_ascii=False) + "\n").encode()


def _archive(path: Path, parts: Mapping[str, bytes], now: datetime) -> None:
    """A new file for its owner alone. Raises `Refused`."""
    folder = path.name.removesuffix(".gz").removesuffix(".tar")
    try:
        with (
            os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file,
            tarfile.open(fileobj=file, mode="w:gz") as archive,
        ):
            for name, content in sorted(parts.items()):
                about = tarfile.TarInfo(f"{folder}/{name}")
                about.size, about.mtime, about.mode = len(content), int(now.timestamp()), 0o600
                archive.addfile(about, io.BytesIO(content))
    except FileExistsError:
        raise Refused(f"{path} is there already: give another name") from None
    except OSError as error:
        raise Refused(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from None
