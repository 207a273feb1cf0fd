"""The servers an operator speaks to, by name: `config.yaml` in `~/.config/gatecast` (or $XDG_CONFIG_HOME/gatecast).

`gatecast context` and `gatecast login` write it, `gatecast.remote` reads it. Tokens are files of their own, which only
their owner may read.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from gatecast.exits import NotFound, Usage

SERVER, CONTEXT, TOKEN, CA = "GATECAST_SERVER", "GATECAST_CONTEXT", "GATECAST_TOKEN", "GATECAST_CA"
DEFAULT = "http://127.0.0.1:18001"


@dataclass(frozen=True, slots=True)
class Context:
    """One server: its URL, the file with our token, and the file with who signs its certificate; "" for none."""

    server: str
    token_file: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them by name, and the one that is used where nothing else is said."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """Raises `NotFound`."""
        if name not in self.contexts:
            raise NotFound(f"no context {name!r}; there are: {', '.join(sorted(self.contexts)) or 'none'}")
        return self.contexts[name]

    def put(self, name: str, context: Context, *, use: bool) -> "Contexts":
        """With this one; the first one is used at once."""
        current = name if use or not self.current else self.current
        return Contexts(current, {**self.contexts, name: context})

    def use(self, name: str) -> "Contexts":
        """With this one as the current one. Raises `NotFound`."""
        self.get(name)
        return replace(self, current=name)

    def remove(self, name: str) -> "Contexts":
        """Without this one. Raises `NotFound`."""
        self.get(name)
        left = {other: one for other, one in self.contexts.items() if other != name}
        return Contexts("" if self.current == name else self.current, left)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one command goes. `token` is "" for none."""

    url: str
    token: str = field(default="", repr=False)
    ca: str = ""


def target(server: str, context: str, environ: Mapping[str, str], known: Callable[[], Contexts]) -> Target:
    """The server that flags mean, else the environment, else the current context, else this machine's own.

    A context's token goes to the context's server alone, never to one that was named by its URL.
    """
    for url, name in ((server, context), (environ.get(SERVER, ""), environ.get(CONTEXT, ""))):
        if url and name:
            raise Usage(f"{url!r} and the context {name!r} are two servers: name one of them")
        if url:
            return Target(url, environ.get(TOKEN, ""), environ.get(CA, ""))
        if name:
            return _of(known().get(name), environ)
    all_of_them = known()
    chosen = all_of_them.get(all_of_them.current) if all_of_them.current else Context(DEFAULT)
    return _of(chosen, environ)


def _of(context: Context, environ: Mapping[str, str]) -> Target:
    token = environ.get(TOKEN) or (read_token(Path(context.token_file)) if context.token_file else "")
    return Target(context.server, token, environ.get(CA) or context.ca)


def read_token(path: Path) -> str:
    """The token in a file. Raises `Usage` if others may read it, too."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Usage(f"token file {path} can be read by others: chmod 600 {path}, and think of a new token")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise Usage(f"token file {path} cannot be read: {_why(error)}; gatecast login makes one") from None


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where contexts and tokens are."""
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "gatecast"


def file(environ: Mapping[str, str] = os.environ) -> Path:
    """The file of the contexts."""
    return folder(environ) / "config.yaml"


def token_file(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where `gatecast login` keeps the token of a context."""
    return folder(environ) / f"{name}.token"


def offered(_context: click.Context, _parameter: click.Parameter, start: str) -> list[str]:
    """Names of contexts, for a shell."""
    try:
        return [name for name in load(file()).contexts if name.startswith(start)]
    except Usage:
        return []


def load(path: Path) -> Contexts:
    """What the file says; nothing if there is no such file. Raises `Usage` naming what is wrong in it."""
    import yaml

    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise Usage(f"contexts {path}: {_why(error)}") from None
    match read:
        case {"contexts": dict(found), **rest} if all(key == "current" for key in rest):
            contexts = {str(name): _context(path, name, one) for name, one in found.items()}
            return Contexts(str(rest.get("current") or ""), contexts)
    raise Usage(f"contexts {path}: it must be `current: NAME` and `contexts: {{NAME: {{server: URL}}}}`")


def _context(path: Path, name: Any, found: Any) -> Context:
    names = Context.__slots__
    if isinstance(found, dict) and "server" in found and set(found) <= set(names):
        return Context(**{key: str(value or "") for key, value in found.items()})
    raise Usage(f"contexts {path}: {name!r} must have a server, and nothing but {', '.join(names)}")


def save(path: Path, contexts: Contexts) -> None:
    """Write the file as a whole. Raises `Usage`."""
    import yaml

    shown = {
        name: {key: getattr(one, key) for key in Context.__slots__ if getattr(one, key)}
        for name, one in sorted(contexts.contexts.items())
    }
    write_private(path, yaml.safe_dump({"current": contexts.current, "contexts": shown}, sort_keys=False))


def write_private(path: Path, text: str) -> None:
    """A file for its owner alone, as a whole or not at all. Raises `Usage`."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise Usage(f"{path} cannot be written: {_why(error)}") from None


def _why(error: Exception) -> str:
    return ((error.strerror or str(error)) if isinstance(error, OSError) else str(error)).lower()
