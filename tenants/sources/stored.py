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
from tenants.store.revisions import Change, Stored, Write, owner

FILE = "file:"


def label(source: str) -> str:
    """Where a document of this source stands in the catalog."""
    return "" if owner(source) == "operator" else source.removeprefix(FILE)


def source_of(family: str, place: str) -> str:
    """The source of what stands at this place of the catalog; the way back from `label`."""
    return f"{FILE}{place}" if family == "file" else family


def changes(put: Iterable[Stored], gone: Iterable[Key] = ()) -> Changes:
    """These documents instead of whatever stood under their names."""
    return _changes([_given(one) for one in put], gone)


def written(writes: Iterable[Write], source: str) -> Changes:
    """The same of writes: `broken` has the problems of those that are no good documents."""
    found = tuple(writes)
    put = [take(one.body, label(one.source or source)) for one in found if one.text is not None]
    return _changes(put, (one.key for one in found if one.text is None))


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


def _changes(made: Iterable[Given | tuple[Problem, ...]], gone: Iterable[Key]) -> Changes:
    put: list[Given] = []
    broken: list[Problem] = []
    for one in made:
        put.append(one) if isinstance(one, Given) else broken.extend(one)
    return Changes(tuple(put), frozenset((*gone, *(one.key for one in put))), tuple(broken))
