"""A builder's twin to try changes on: it goes its own way, and what it is a twin of stays as it is.

`gatecast.resource_diffs` asks for one. Resources, specs and providers are immutable and shared; what holds them is
copied: a few milliseconds at 10,000 tenants.
"""

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from xds.builder import Builder
from xds.certificates import Certificates, Hosts
from xds.shards import Shards
from xds.shelf import Shelf
from xds.snapshot import ChangeLog, Snapshot

_OWNERS = (Builder, Certificates, Hosts, Shards, Shelf)


def fork(builder: Builder) -> Builder:
    """The twin. Its snapshots begin to count anew: `Snapshot.changed(kind, 0)` says what it has changed since."""
    twin: Builder = _forked(builder)
    return twin


def _forked(value: Any) -> Any:
    match value:
        case Snapshot():
            return Snapshot(value.gateway, 0, value.resources, value.digests, ChangeLog())
        case dict():
            return {name: _forked(one) for name, one in value.items()}
        case set():
            return set(value)
    if isinstance(value, _OWNERS) or _mutable(value):
        twin = copy.copy(value)
        for name, one in _attributes(value).items():
            setattr(twin, name, _forked(one))
        return twin
    return value


def _mutable(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type) and not type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]


def _attributes(value: Any) -> Mapping[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)} if is_dataclass(value) else vars(value)
