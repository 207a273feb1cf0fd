"""What translation needs and documents do not hold: key sets of issuers, and secrets. An immutable value.

`gatecast.plane` keeps the newest one, `xds.builder` compares it with the one before.
"""

from dataclasses import dataclass

from immutables import Map

from tenants.keysets.source import Source
from tenants.secrets.material import Material


@dataclass(frozen=True, slots=True)
class Supplies:
    """`keys`: key sets that may be used, as JSON text; a source that is not there has none, or none that is fresh.

    `certificates`: by id of the Certificate document. `authorities`: PEM text by file.
    """

    keys: Map[Source, str] = Map()  # noqa: RUF009 - it is immutable
    certificates: Map[str, Material] = Map()  # noqa: RUF009 - it is immutable
    authorities: Map[str, str] = Map()  # noqa: RUF009 - it is immutable
