"""Which gatecast this is. Asked by the command line, the API and the server's name towards proxies."""


def version() -> str:
    """The installed version; "0" where the tree is used without being installed."""
    from importlib.metadata import PackageNotFoundError  # 20 ms that `gatecast --help` does without
    from importlib.metadata import version as of

    try:
        return of("gatecast")
    except PackageNotFoundError:
        return "0"
