from transplant.v1 import chunk_pb2 as _chunk_pb2
from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UploadPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UPLOAD_PHASE_UNSPECIFIED: _ClassVar[UploadPhase]
    UPLOAD_PHASE_RECEIVING: _ClassVar[UploadPhase]
    UPLOAD_PHASE_RECEIVED: _ClassVar[UploadPhase]
    UPLOAD_PHASE_REGISTERED: _ClassVar[UploadPhase]
    UPLOAD_PHASE_REJECTED: _ClassVar[UploadPhase]
UPLOAD_PHASE_UNSPECIFIED: UploadPhase
UPLOAD_PHASE_RECEIVING: UploadPhase
UPLOAD_PHASE_RECEIVED: UploadPhase
UPLOAD_PHASE_REGISTERED: UploadPhase
UPLOAD_PHASE_REJECTED: UploadPhase

class ByteRange(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class DeclareRequest(_message.Message):
    __slots__ = ("manifest",)
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    manifest: _manifest_pb2.Manifest
    def __init__(self, manifest: _Optional[_Union[_manifest_pb2.Manifest, _Mapping]] = ...) -> None: ...

class DeclareResponse(_message.Message):
    __slots__ = ("upload_id", "module_id", "missing", "registered")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    module_id: str
    missing: _containers.RepeatedCompositeFieldContainer[ByteRange]
    registered: bool
    def __init__(self, upload_id: _Optional[str] = ..., module_id: _Optional[str] = ..., missing: _Optional[_Iterable[_Union[ByteRange, _Mapping]]] = ..., registered: _Optional[bool] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("upload_id", "offset", "data", "crc32c", "compression")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    offset: int
    data: bytes
    crc32c: int
    compression: _chunk_pb2.Compression
    def __init__(self, upload_id: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ..., compression: _Optional[_Union[_chunk_pb2.Compression, str]] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("durable_offset",)
    DURABLE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    durable_offset: int
    def __init__(self, durable_offset: _Optional[int] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("upload_id", "sha256")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    sha256: str
    def __init__(self, upload_id: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class CommitResponse(_message.Message):
    __slots__ = ("module_id",)
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    module_id: str
    def __init__(self, module_id: _Optional[str] = ...) -> None: ...

class UploadStatusRequest(_message.Message):
    __slots__ = ("upload_id",)
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    def __init__(self, upload_id: _Optional[str] = ...) -> None: ...

class UploadStatusResponse(_message.Message):
    __slots__ = ("durable_offset", "missing", "registered", "module_id", "phase", "error", "reason", "figures")
    DURABLE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    durable_offset: int
    missing: _containers.RepeatedCompositeFieldContainer[ByteRange]
    registered: bool
    module_id: str
    phase: UploadPhase
    error: str
    reason: str
    figures: _containers.RepeatedCompositeFieldContainer[_manifest_pb2.Metric]
    def __init__(self, durable_offset: _Optional[int] = ..., missing: _Optional[_Iterable[_Union[ByteRange, _Mapping]]] = ..., registered: _Optional[bool] = ..., module_id: _Optional[str] = ..., phase: _Optional[_Union[UploadPhase, str]] = ..., error: _Optional[str] = ..., reason: _Optional[str] = ..., figures: _Optional[_Iterable[_Union[_manifest_pb2.Metric, _Mapping]]] = ...) -> None: ...
