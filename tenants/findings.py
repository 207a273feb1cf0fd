"""What a rule between documents may look at, and what it finds. Shared by `checks` and by those who call it."""

from typing import NamedTuple, Protocol

from tenants.documents import Key
from tenants.exactness import Exactness
from tenants.faults import Fault
from tenants.served import Served

Token = Key | str
GATEWAYS = "gateways"  # the token for "any gateway changed"


class Scene(Protocol):
    """What a rule may look at: the documents as they would be (`now`), as they were, and who has what."""

    now: Served
    before: Served

    @property
    def exactness(self) -> Exactness:
        """How exactly proxies do what policies say."""

    def keeper(self, token: str) -> Key | None:
        """Which document in `now` has what only one can have."""


class Finding(NamedTuple):
    """One thing a rule found."""

    fault: Fault
    waits: tuple[Token, ...] = ()
    severity: str = "error"
