"""What can go wrong, said by type. Every floor raises these; `Problem` is what a check returns instead of raising.

`Refused`: asking again cannot help, something must change first. `Unavailable`: asking again later can help.
"""

from dataclasses import dataclass


class GatecastError(Exception):
    """The root of every error gatecast raises on purpose."""


class Refused(GatecastError):
    """Repeating the same request cannot help."""


class Unavailable(GatecastError):
    """Repeating the same request later can help."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one document.

    `code` is stable (see `tenants.codes`), `path` is the field as the user wrote it, `hint` says what would be right.
    `file` and `line` are empty and 0 where the document did not come from a file. `tenant` is the tenant it hurts, if
    it hurts one alone. `severity` is "error" (the document is not served as given) or "warning" (it is).
    """

    code: str
    kind: str
    id: str
    path: str
    message: str
    hint: str = ""
    file: str = ""
    line: int = 0
    tenant: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        """One line. Names of files, ids and keys come from outside: they must not steer an operator's terminal."""
        place = f"{self.file}:{self.line} " if self.file and self.line else f"{self.file} " if self.file else ""
        name = f"{self.kind}/{self.id}".strip("/")
        subject = " ".join(part for part in (name, self.path) if part)
        hint = f" ({self.hint})" if self.hint else ""
        line = f"{place}{subject}{': ' if subject else ''}{self.message}{hint} [{self.code}]"
        return line if line.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in line)
