"""When to ask a provider again: from the headers of its answer, or after a failure. Pure; called by `holding`.

Every time is drawn from a range, so that thousands of sources, started together, do not stay together.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from tenants.keysets.limits import Limits

EARLY = (0.75, 0.9)
"""A set is fetched anew in this part of its life, so that it never expires in use."""
SPREAD = 0.25
"""What the shortest wait is lengthened by, at most."""

_MAX_AGE = re.compile(r'max-age\s*=\s*"?(\d{1,10})"?')
_NEVER_KEEP = re.compile(r"no-store|no-cache")

Random = Callable[[], float]
"""A number in [0, 1)."""


def lifetime(headers: Mapping[str, str], wall: float) -> float | None:
    """How long the answer stays fresh, in seconds (RFC 9111 section 4.2); None if the provider does not say.

    0 for an answer that may not be kept: we keep it, for the gateways need it, and ask again as soon as is decent.
    `headers` have names in lower case or are case-insensitive; `wall` is the time of the answer.
    """
    said = headers.get("cache-control", "").lower()
    if _NEVER_KEEP.search(said):
        return 0.0
    age = _seconds(headers.get("age", ""))
    if found := _MAX_AGE.search(said):
        return max(0.0, float(found[1]) - age)
    if "expires" not in headers:
        return None
    expires = _date(headers["expires"])
    answered = _date(headers.get("date", "")) or wall
    return max(0.0, expires - answered - age) if expires else 0.0  # RFC 9111 section 5.3: "0" has expired


def refresh_in(fresh_for: float | None, limits: Limits, random: Random) -> float:
    """Seconds until the next fetch after a good one: before the answer expires, yet neither too often nor too rarely.

    Not more often than `floor`, for one bad header must not make us a burden. Not more rarely than `ceiling`: a new key
    is to be live before it signs, and one that was withdrawn has to go, whatever the provider's cache says.
    """
    drawn = random()
    span = min(limits.default if fresh_for is None else fresh_for, limits.ceiling)
    return max(limits.floor * (1 + SPREAD * drawn), span * (EARLY[0] + (EARLY[1] - EARLY[0]) * drawn))


def retry_in(failures: int, limits: Limits, random: Random) -> float:
    """Seconds until the next fetch after so many failures in a row (1 or more): doubled each time, half of it drawn."""
    span = min(limits.last_retry, limits.first_retry * 2.0 ** min(failures - 1, 32))
    return span * (0.5 + 0.5 * random())


def _seconds(text: str) -> float:
    return float(text) if re.fullmatch(r"\d{1,10}", text) else 0.0


def _date(text: str) -> float:
    """An HTTP date in seconds since the epoch; 0 if it is none."""
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
