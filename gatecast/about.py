"""Which gatecast this is. Asked by the command line, the API and the server's name towards proxies."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as of


def version() -> str:
    """The installed version; "0" where the tree is used without being installed."""
    try:
        return of("gatecast")
    except PackageNotFoundError:
        return "0"
