"""Why a key set cannot be had. `kind` is a row of KINDS and the label that metrics count by; the text is for people."""

from tenants.errors import Refused, Unavailable

KINDS = (
    "address",  # the name leads to an address that no provider of tokens has
    "url",  # there is no URL to ask
    "dns",
    "connect",  # also TLS
    "timeout",
    "status",
    "redirect",
    "discovery",
    "size",
    "content",  # HTML, not JSON, no usable key
    "private",  # the provider publishes its private keys
    "defect",  # ours
)


class Unfit(Refused):
    """What the provider says cannot be used; somebody must mend it, or the document that names it."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Unreached(Unavailable):
    """The provider did not answer, or not with a 200."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def plain(text: str, most: int = 120) -> str:
    """What somebody outside wrote, fit for one line of a problem: printable, and not long."""
    shown = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[: most + 1])
    return shown if len(shown) <= most else shown[:most] + "..."
