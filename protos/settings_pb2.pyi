from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SharedDocument(_message.Message):
    __slots__ = ("kind", "id", "json")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    id: str
    json: str
    def __init__(self, kind: _Optional[str] = ..., id: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...

class TenantSettings(_message.Message):
    __slots__ = ("id", "organisation", "suspended", "hosts", "policies", "routes")
    ID_FIELD_NUMBER: _ClassVar[int]
    ORGANISATION_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    organisation: str
    suspended: bool
    hosts: _containers.RepeatedScalarFieldContainer[str]
    policies: str
    routes: _containers.RepeatedCompositeFieldContainer[RouteSettings]
    def __init__(self, id: _Optional[str] = ..., organisation: _Optional[str] = ..., suspended: _Optional[bool] = ..., hosts: _Optional[_Iterable[str]] = ..., policies: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[RouteSettings, _Mapping]]] = ...) -> None: ...

class RouteSettings(_message.Message):
    __slots__ = ("routes", "policies", "named", "shares")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedScalarFieldContainer[str]
    policies: str
    named: _containers.RepeatedScalarFieldContainer[str]
    shares: _containers.RepeatedCompositeFieldContainer[Share]
    def __init__(self, routes: _Optional[_Iterable[str]] = ..., policies: _Optional[str] = ..., named: _Optional[_Iterable[str]] = ..., shares: _Optional[_Iterable[_Union[Share, _Mapping]]] = ...) -> None: ...

class Share(_message.Message):
    __slots__ = ("service", "weight")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    service: str
    weight: int
    def __init__(self, service: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...
