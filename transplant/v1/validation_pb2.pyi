from transplant.v1 import catalog_pb2 as _catalog_pb2
from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FetchCandidatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("merge_key", "route")
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    merge_key: str
    route: _catalog_pb2.Route
    def __init__(self, merge_key: _Optional[str] = ..., route: _Optional[_Union[_catalog_pb2.Route, _Mapping]] = ...) -> None: ...

class FetchCandidatesResponse(_message.Message):
    __slots__ = ("candidates",)
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    def __init__(self, candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ...) -> None: ...

class ReportVerdictRequest(_message.Message):
    __slots__ = ("merge_key", "teacher", "transplanted", "floor", "sample_count", "signature")
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    TEACHER_FIELD_NUMBER: _ClassVar[int]
    TRANSPLANTED_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    merge_key: str
    teacher: _containers.RepeatedCompositeFieldContainer[_manifest_pb2.Metric]
    transplanted: _containers.RepeatedCompositeFieldContainer[_manifest_pb2.Metric]
    floor: _containers.RepeatedCompositeFieldContainer[_manifest_pb2.Metric]
    sample_count: int
    signature: bytes
    def __init__(self, merge_key: _Optional[str] = ..., teacher: _Optional[_Iterable[_Union[_manifest_pb2.Metric, _Mapping]]] = ..., transplanted: _Optional[_Iterable[_Union[_manifest_pb2.Metric, _Mapping]]] = ..., floor: _Optional[_Iterable[_Union[_manifest_pb2.Metric, _Mapping]]] = ..., sample_count: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ReportVerdictResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: str
    def __init__(self, state: _Optional[str] = ...) -> None: ...
