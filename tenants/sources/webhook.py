"""Whether a registry has signed its call. Pure; the guard of the API asks it (`gatecast.access`).

What is told is only that there is news: the answer to it is one look at the registry, so what stands in the body does
not count and a call that is sent twice does no harm.
"""

import hashlib
import hmac
from collections.abc import Mapping

SIGNATURES = ("x-gatecast-signature", "x-hub-signature-256")
"""Headers with `sha256=` and the HMAC of the body in hex; the second one is GitHub's."""


def signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether one of these headers, named in lower case, signs the body with the secret."""
    due = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = [headers[name] for name in SIGNATURES if name in headers]
    return any(hmac.compare_digest(one.strip().lower().encode("utf-8", "replace"), due.encode()) for one in given)
