"""From the bytes of an answer to a JSON object, or words about what else it is. Pure; called by `keys` and `fetch`."""

import json
from collections.abc import Mapping
from typing import Any

from tenants.keysets.faults import Unfit


def mapping(body: bytes, content_type: str, what: str) -> Mapping[str, Any]:
    """The JSON object in the body. Raises `Unfit`; `what` names what was expected, as in "a JWK set"."""
    if "html" in content_type.lower() or body.lstrip()[:1] == b"<":
        raise Unfit("content", f"the answer is HTML or XML, and not {what} (JSON): is it a login or an error page?")
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        place = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise Unfit("content", f"the answer is not JSON, so not {what}: {place}") from None
    except (ValueError, RecursionError):  # not UTF-8, a number of thousands of digits, nested without end
        raise Unfit("content", f"the answer is not JSON that can be read, so not {what}") from None
    if not isinstance(found, dict):
        raise Unfit("content", f"the answer is not {what}: it is JSON, but not an object")
    return found
