"""What a gateway tells of its traffic: parts of the Gateway document (`tenants.documents`)."""

from typing import Annotated

from pydantic import AfterValidator, Field

from tenants.model import Strict
from tenants.values import Bool, Id, Text, fault


def _on_the_proxy(path: str) -> str:
    if not path.startswith("/"):
        raise fault("GC105", f"{path!r} is not a path on the proxy", "as in /var/log/envoy/access.log")
    return path


class AccessLog(Strict):
    """A line of JSON for each request, to the proxy's stdout or the file `path` on it; with its query, if asked."""

    path: Annotated[Text, AfterValidator(_on_the_proxy)] | None = None
    query: Bool = False


class Tracing(Strict):
    """Traces go to `service`, an OpenTelemetry collector (OTLP over gRPC), for `sample` percent of the requests."""

    service: Id
    sample: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 1.0
