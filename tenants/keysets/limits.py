"""How patient and how frugal the fetcher is. One value, passed in; `gatecast.config` may say others."""

from dataclasses import dataclass

from tenants.keysets.keys import MAX_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, counts and bytes.

    Refresh: a provider's own lifetime is held between `floor` and `ceiling`; one that says nothing is asked again after
    `default`. After failures: `first_retry`, doubled up to `last_retry`. A good set serves for `stale` without a newer
    one. A key the provider no longer lists is served `overlap` longer. `unknown`: the least time between two refetches
    because of unknown keys. A source nobody wants is remembered for `linger`.

    Fetch: `total` for discovery, redirects and keys together, of it `connect` for each connection; at most `size` bytes
    an answer; `at_once` fetches, `per_host` of them at one host. `tick` bounds how long the loop sleeps.
    """

    floor: float = 60.0
    default: float = 300.0
    ceiling: float = 3600.0
    first_retry: float = 2.0
    last_retry: float = 300.0
    stale: float = 86400.0
    overlap: float = 3600.0
    unknown: float = 60.0
    linger: float = 600.0
    total: float = 5.0
    connect: float = 2.0
    size: int = MAX_BYTES
    at_once: int = 16
    per_host: int = 4
    tick: float = 1.0
