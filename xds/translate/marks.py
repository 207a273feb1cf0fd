"""What a tenant's table says to the logs alone: its revision, and the error that a route answers with.

It stands in Envoy's metadata, where no client can write. `routes` and `answers` write it; the commands below read it.
"""

import hashlib
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from xds import messages

Metadata = messages.message("envoy.config.core.v3.Metadata")

NAMESPACE = "gatecast"
NOBODY = "-"
"""In place of a tenant, where a table is nobody's."""

TENANT = "%CEL(xds.virtual_host_name)%"
"""The tenant whose table was chosen; nothing if none was."""

ROUTE = "%ROUTE_NAME%"
REVISION = f"%METADATA(VIRTUAL_HOST:{NAMESPACE}:revision)%"
ANSWERED = f"xds.route_metadata.filter_metadata['{NAMESPACE}']['error']"
"""CEL: the error of a route that answers by itself."""

DIGITS = 12


def mark(table: Any) -> None:
    """Write into a RouteConfiguration its revision: a hash of all else that it says, the same in every process."""
    revision = hashlib.sha256(messages.encode(table)).hexdigest()[:DIGITS]
    table.virtual_hosts[0].metadata.filter_metadata[NAMESPACE].fields["revision"].string_value = revision


def revision(table: Any) -> str:
    """The revision that `mark` wrote, "" if none."""
    found = [host.metadata.filter_metadata[NAMESPACE].fields["revision"].string_value for host in table.virtual_hosts]
    return found[0] if found else ""


@lru_cache(maxsize=256)
def answers_with(code: str) -> Message:
    """The metadata of a route that answers with this error (`errors.CODES`)."""
    made: Any = Metadata()
    made.filter_metadata[NAMESPACE].fields["error"].string_value = code
    return made  # type: ignore[no-any-return]
