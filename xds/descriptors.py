"""Protobuf descriptors for Envoy's API, derived from the metadata that envoy-data-plane carries. Called by
`xds.messages` alone.

envoy-data-plane is the schema of record, but its own encoder is about a thousand times slower than protobuf's
(decision 5 of the architecture). So its field numbers, types, oneofs and maps are read once, at import, and handed
to protobuf (upb). The pool is our own, never protobuf's default one: whatever else a process has loaded, names
cannot clash.
"""

import importlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

from envoy_data_plane.message_pool import default_message_pool
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

WELL_KNOWN = (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
ENUMS = "gatecast/enums.proto"
LABELS = {False: FieldDescriptorProto.LABEL_OPTIONAL, True: FieldDescriptorProto.LABEL_REPEATED}


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a message: its name in the `.proto` file, betterproto2's metadata, and its class (None for
    scalars).
    """

    name: str
    meta: Any
    target: Any


Schema = Mapping[str, tuple[Column, ...]]  # full message name -> its fields


@dataclass(frozen=True, slots=True)
class Newer:
    """A field that Envoy 1.40 has and envoy-data-plane 2.2 lacks; `target` names its message, "" for a bool.

    A row whose field envoy-data-plane has learned is not used; a test names it, so that it is removed.
    """

    message: str
    name: str
    number: int
    target: str = ""
    repeated: bool = False

    def column(self) -> Column:
        meta = SimpleNamespace(
            number=self.number, proto_type="message" if self.target else "bool", repeated=self.repeated, group=None
        )
        meta.optional = False
        return Column(self.name, meta, _class(self.target) if self.target else None)


NEWER = (
    Newer(
        "envoy.extensions.filters.http.header_mutation.v3.Mutations",
        "formatters",
        6,
        "envoy.config.core.v3.TypedExtensionConfig",
        repeated=True,
    ),
    Newer("envoy.extensions.formatter.cel.v3.Cel", "cel_config", 1, "envoy.config.core.v3.CelExpressionConfig"),
    Newer("envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", "enable_retry_after_header", 19),
    Newer("envoy.extensions.filters.http.ratelimit.v3.RateLimit", "enable_retry_after_header", 19),
)


def pool(roots: Iterable[str]) -> descriptor_pool.DescriptorPool:
    """Build a pool with every message that `roots` (full names) reach; KeyError for a name envoy-data-plane lacks."""
    schema = reached(roots)
    result = descriptor_pool.DescriptorPool()
    for module in WELL_KNOWN:
        result.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    result.AddSerializedFile(_enum_file(schema).SerializeToString())
    homes: dict[str, str] = {}
    needs = _dependencies(schema)
    for group in _components(needs):
        homes.update(dict.fromkeys(group, group[0].replace(".", "/") + ".proto"))
        others = {homes[other] for name in group for other in needs[name]} - {homes[group[0]]}
        result.AddSerializedFile(_file(group, schema, homes[group[0]], sorted(others)).SerializeToString())
    return result


def reached(roots: Iterable[str]) -> Schema:
    """Every message that `roots` reach, with its fields."""
    schema: dict[str, tuple[Column, ...]] = {}
    pending = list(roots)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of its own use of pydantic
        for name in pending:
            importlib.import_module("envoy_data_plane." + ".".join(part for part in name.split(".") if part.islower()))
    while pending:
        name = pending.pop()
        if name in schema:
            continue
        schema[name] = tuple(_columns(_class(name))) + tuple(newer(name))
        pending.extend(child for column in schema[name] for child in _messages(column))
        if _outermost(name) != name:
            pending.append(name.rpartition(".")[0])
    return schema


def _class(name: str) -> Any:
    return default_message_pool.url_to_type["type.googleapis.com/" + name]


def newer(name: str) -> Iterator[Column]:
    """The fields of a message that envoy-data-plane does not know yet."""
    known = {column.name for column in _columns(_class(name))}
    return (row.column() for row in NEWER if row.message == name and row.name not in known)


def _columns(cls: Any) -> Iterator[Column]:
    for field in fields(cls):
        meta = field.metadata["betterproto"]
        target = cls._betterproto.cls_by_field.get(field.name)
        if meta.unwrap is not None:  # a well-known wrapper that betterproto2 shows as a plain Python value
            target = meta.unwrap()
        yield Column(field.name.rstrip("_"), meta, target)


def _parts(column: Column) -> Iterator[tuple[str, Any]]:
    """(proto type, class) of a field; of a map, those of its value."""
    if column.meta.proto_type == "map":
        value = {field.name: field for field in fields(column.target)}["value"]
        yield column.meta.map_meta[1].proto_type, column.target._betterproto.cls_by_field[value.name]
    else:
        yield column.meta.proto_type, column.target


def _messages(column: Column) -> list[str]:
    names = [_name(target) for kind, target in _parts(column) if kind == "message"]
    return [name for name in names if not name.startswith("google.protobuf.")]


def _name(cls: Any) -> str:
    return str(default_message_pool.type_to_url[cls]).removeprefix("type.googleapis.com/")


def _outermost(name: str) -> str:
    """`a.b.Outer.Inner` -> `a.b.Outer`: packages are lower case, messages are not."""
    parts = name.split(".")
    first = next(i for i, part in enumerate(parts) if not part.islower())
    return ".".join(parts[: first + 1])


def _enum_holder(cls: Any) -> str:
    return f"{cls.__module__.removeprefix('envoy_data_plane.')}.{cls.__name__}".replace(".", "_")


def _enum_file(schema: Schema) -> FileDescriptorProto:
    """All enums, each in a message of its own: values of two enums may share a name, and protobuf scopes them to the
    parent.
    """
    parts = [part for columns in schema.values() for column in columns for part in _parts(column)]
    enums = {_enum_holder(target): target for kind, target in parts if kind == "enum"}
    file = FileDescriptorProto(name=ENUMS, package="gatecast", syntax="proto3")
    for holder, cls in sorted(enums.items()):
        proto = file.message_type.add(name=holder).enum_type.add(name="E")
        renamed = cls.betterproto_value_to_renamed_proto_names()
        for member in sorted(cls, key=lambda member: (member.value != 0, member.value)):
            proto.value.add(name=renamed.get(member.value, member.name), number=member.value)
    return file


def _dependencies(schema: Schema) -> dict[str, set[str]]:
    needs: dict[str, set[str]] = {_outermost(name): set() for name in sorted(schema)}
    for name, columns in schema.items():
        needs[_outermost(name)].update(_outermost(child) for column in columns for child in _messages(column))
    return needs


def _components(needs: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected groups, needed ones first (Tarjan): messages that need one another must share a file."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(needs[node]):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            at = stack.index(node)
            groups.append(sorted(stack[at:]))
            del stack[at:]

    for node in needs:
        if node not in order:
            visit(node)
    return groups


def _file(group: list[str], schema: Schema, name: str, others: list[str]) -> FileDescriptorProto:
    file = FileDescriptorProto(name=name, package=group[0].rpartition(".")[0], syntax="proto3")
    file.dependency.extend([*(module.DESCRIPTOR.name for module in WELL_KNOWN), ENUMS, *others])
    for top in group:
        _message(file.message_type.add(), top, schema)
    return file


def _message(out: DescriptorProto, name: str, schema: Schema) -> None:
    out.name = name.rpartition(".")[2]
    groups = list(dict.fromkeys(column.meta.group for column in schema[name] if column.meta.group))
    for group in groups:
        out.oneof_decl.add(name=group)
    for column in schema[name]:
        field = _field(out, column, name)
        if column.meta.group:
            field.oneof_index = groups.index(column.meta.group)
    _optionals(out, schema[name])
    for child in sorted(schema):
        if child.rpartition(".")[0] == name:
            _message(out.nested_type.add(), child, schema)


def _optionals(out: DescriptorProto, columns: tuple[Column, ...]) -> None:
    """`optional` scalars of proto3: by convention a oneof of their own, after all real ones."""
    names = {c.name for c in columns if c.meta.optional and not c.meta.group and c.meta.proto_type != "message"}
    for field in out.field:
        if field.name in names:
            field.proto3_optional = True
            field.oneof_index = len(out.oneof_decl)
            out.oneof_decl.add(name="_" + field.name)


def _field(out: DescriptorProto, column: Column, owner: str) -> FieldDescriptorProto:
    field = out.field.add(name=column.name, number=column.meta.number, label=LABELS[bool(column.meta.repeated)])
    if column.meta.proto_type != "map":
        return _typed(field, column.meta.proto_type, column.target)
    entry = out.nested_type.add(name="".join(word.capitalize() for word in column.name.split("_")) + "Entry")
    entry.options.map_entry = True
    (value_type, value_class), key_type = next(_parts(column)), column.meta.map_meta[0].proto_type
    _typed(entry.field.add(name="key", number=1, label=LABELS[False]), key_type, None)
    _typed(entry.field.add(name="value", number=2, label=LABELS[False]), value_type, value_class)
    field.label = LABELS[True]
    field.type = FieldDescriptorProto.TYPE_MESSAGE
    field.type_name = f".{owner}.{entry.name}"
    return field


def _typed(field: FieldDescriptorProto, proto_type: str, target: Any) -> FieldDescriptorProto:
    field.type = descriptor_pb2.FieldDescriptorProto.Type.Value("TYPE_" + proto_type.upper())
    if proto_type == "enum":
        field.type_name = f".gatecast.{_enum_holder(target)}.E"
    elif proto_type == "message":
        field.type_name = "." + _name(target)
    return field
