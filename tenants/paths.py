"""What a Route is made of: what it matches, how it splits, what it rewrites. Used by `tenants.documents`."""

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from tenants.model import Strict
from tenants.values import (
    Bool,
    HeaderName,
    HeaderValue,
    Host,
    Id,
    Int,
    Method,
    Path,
    Regex,
    compiled,
    fault,
    mapping_of,
    mapping_text,
    one_case,
    unique,
)


def _short_header(value: Any) -> Any:
    return {"exact": value} if isinstance(value, str) else value


class HeaderMatch(Strict):
    """A condition on a header: exactly one of these."""

    exact: HeaderValue | None = None
    prefix: HeaderValue | None = None
    regex: Regex | None = None
    present: Bool | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "exact", "prefix", "regex", "present")
        return self


def exactly_one(model: Strict, *names: str) -> None:
    """Refuse a model with none or several of these fields."""
    given = [name for name in names if getattr(model, name) is not None]
    listed = ", ".join(f"`{name}`" for name in names)
    if not given:
        raise fault("GC103", f"none of {listed} is given", "one of them")
    if len(given) > 1:
        raise fault("GC107", " and ".join(f"`{name}`" for name in given) + " are both given", f"one of {listed}")


def _header_pairs(value: dict[str, HeaderMatch]) -> tuple[tuple[str, HeaderMatch], ...]:
    return tuple(sorted(value.items()))


def _header_pairs_json(pairs: Any) -> Any:
    return mapping_text((name, match.model_dump(mode="json", exclude_unset=True)) for name, match in pairs)


class Match(Strict):
    """The requests a route takes: one of `prefix`, `path`, `regex` (RE2, whole path), and `methods`, `headers`."""

    prefix: Path | None = None
    path: Path | None = None
    regex: Regex | None = None
    methods: Annotated[tuple[Method, ...], AfterValidator(unique)] = ()
    headers: Annotated[
        tuple[tuple[str, HeaderMatch], ...],
        mapping_of(HeaderName, Annotated[HeaderMatch, BeforeValidator(_short_header)], _header_pairs),
        BeforeValidator(one_case),
        PlainSerializer(_header_pairs_json),
    ] = ()

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, "prefix", "path", "regex")
        return self


class Share(Strict):
    """A service's share of a split, in percent."""

    service: Id
    weight: Annotated[Int, Field(ge=0, le=100)]


def _whole(split: tuple[Share, ...]) -> tuple[Share, ...]:
    unique(tuple(share.service for share in split))
    total = sum(share.weight for share in split)
    if total != 100:
        raise fault("GC118", f"the weights add up to {total}", "weights are percent and add up to 100")
    return split


Split = Annotated[tuple[Share, ...], Field(min_length=1, max_length=32), AfterValidator(_whole)]


def _groups_exist(substitution: str, groups: int) -> None:
    for number in re.findall(r"\\(\d)", substitution):
        if int(number) > groups:
            said = f"`substitution` names group \\{number}, and `regex` has {groups}"
            raise fault("GC107", said, "a group that the regular expression has")


class Rewrite(Strict):
    """What the service sees: the `prefix` replaced, the whole `path`, or `regex` with `substitution`; `host`."""

    prefix: Path | None = None
    path: Path | None = None
    regex: Regex | None = None
    substitution: HeaderValue | None = None
    host: Host | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if any(value is not None for value in (self.prefix, self.path, self.regex)):
            exactly_one(self, "prefix", "path", "regex")
        if (self.regex is None) != (self.substitution is None):
            raise fault("GC107", "`regex` and `substitution` belong together", "both, or neither")
        if self.regex is not None and self.substitution is not None:
            _groups_exist(self.substitution, compiled(self.regex).groups)
        return self
