"""What translation needs and documents do not hold: key sets of issuers. An immutable value.

`gatecast.plane` keeps the newest one, `xds.builder` compares it with the one before.
"""

from dataclasses import dataclass

from immutables import Map

from tenants.keysets.source import Source


@dataclass(frozen=True, slots=True)
class Supplies:
    """`keys`: key sets that may be used, as JSON text; a source that is not there has none, or none that is fresh."""

    keys: Map[Source, str] = Map()  # noqa: RUF009 - it is immutable
