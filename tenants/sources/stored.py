"""Documents of the store as `Changes` for the catalog. Pure; `gatecast.ledger` calls it.

In the catalog a file's document stands under the path of its file, as the directory source has it, a registry's under
`registry`; what operators write stands under no file.
"""

from collections.abc import Iterable
from dataclasses import replace

from tenants.catalog import Changes
from tenants.documents import Key
from tenants.errors import Problem
from tenants.reading import Given, take
from tenants.store.revisions import Change, Stored, owner

FILE = "file:"


def label(source: str) -> str:
    """Where a document of this source stands in the catalog."""
    return "" if owner(source) == "operator" else source.removeprefix(FILE)


def source_of(family: str, place: str) -> str:
    """The source of what stands at this place of the catalog; the way back from `label`."""
    return f"{FILE}{place}" if family == "file" else family


def changes(put: Iterable[Stored], gone: Iterable[Key] = ()) -> Changes:
    """These documents instead of whatever stood under their names."""
    good: list[Given] = []
    broken: list[Problem] = []
    for one in map(_given, put):
        good.append(one) if isinstance(one, Given) else broken.extend(one)
    return Changes(tuple(good), frozenset((*gone, *(one.key for one in good))), tuple(broken))


def changed(done: Iterable[Change]) -> Changes:
    """The same of changes that were made."""
    found = tuple(done)
    return changes((one.after for one in found if one.after), (one.key for one in found if not one.after))


def _given(one: Stored) -> Given | tuple[Problem, ...]:
    """A registry's document with its text: it is said again for as long as the registry may have forgotten it."""
    made = take(one.body, label(one.source))
    if isinstance(made, Given) and owner(one.source) == "registry":
        return replace(made, source=one.text)
    return made
