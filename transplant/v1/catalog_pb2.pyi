from transplant.v1 import chunk_pb2 as _chunk_pb2
from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListModulesRequest(_message.Message):
    __slots__ = ("category", "page_size", "page_token")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    category: str
    page_size: int
    page_token: str
    def __init__(self, category: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ModuleSummary(_message.Message):
    __slots__ = ("module_id", "site", "category", "kind", "task", "payload_bytes")
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    module_id: str
    site: str
    category: str
    kind: _manifest_pb2.ModuleKind
    task: _manifest_pb2.Task
    payload_bytes: int
    def __init__(self, module_id: _Optional[str] = ..., site: _Optional[str] = ..., category: _Optional[str] = ..., kind: _Optional[_Union[_manifest_pb2.ModuleKind, str]] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., payload_bytes: _Optional[int] = ...) -> None: ...

class ListModulesResponse(_message.Message):
    __slots__ = ("modules", "next_page_token")
    MODULES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    modules: _containers.RepeatedCompositeFieldContainer[ModuleSummary]
    next_page_token: str
    def __init__(self, modules: _Optional[_Iterable[_Union[ModuleSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetManifestRequest(_message.Message):
    __slots__ = ("module_id",)
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    module_id: str
    def __init__(self, module_id: _Optional[str] = ...) -> None: ...

class GetManifestResponse(_message.Message):
    __slots__ = ("manifest",)
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    manifest: _manifest_pb2.Manifest
    def __init__(self, manifest: _Optional[_Union[_manifest_pb2.Manifest, _Mapping]] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("module_id", "offset", "length", "accepted")
    MODULE_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    module_id: str
    offset: int
    length: int
    accepted: _chunk_pb2.Compression
    def __init__(self, module_id: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ..., accepted: _Optional[_Union[_chunk_pb2.Compression, str]] = ...) -> None: ...

class DownloadResponse(_message.Message):
    __slots__ = ("offset", "data", "crc32c", "compression")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    crc32c: int
    compression: _chunk_pb2.Compression
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ..., compression: _Optional[_Union[_chunk_pb2.Compression, str]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("category", "task", "category_module", "adapter", "task_module", "merge_key", "supervised_by")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_MODULE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TASK_MODULE_FIELD_NUMBER: _ClassVar[int]
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    SUPERVISED_BY_FIELD_NUMBER: _ClassVar[int]
    category: str
    task: _manifest_pb2.Task
    category_module: str
    adapter: str
    task_module: str
    merge_key: str
    supervised_by: str
    def __init__(self, category: _Optional[str] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., category_module: _Optional[str] = ..., adapter: _Optional[str] = ..., task_module: _Optional[str] = ..., merge_key: _Optional[str] = ..., supervised_by: _Optional[str] = ...) -> None: ...

class NetVersion(_message.Message):
    __slots__ = ("number", "parent_digest", "routes", "digest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PARENT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    parent_digest: str
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    digest: str
    def __init__(self, number: _Optional[int] = ..., parent_digest: _Optional[str] = ..., routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ..., digest: _Optional[str] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("after_number",)
    AFTER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    after_number: int
    def __init__(self, after_number: _Optional[int] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[NetVersion]
    def __init__(self, versions: _Optional[_Iterable[_Union[NetVersion, _Mapping]]] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("number", "errors")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    number: int
    errors: bool
    def __init__(self, number: _Optional[int] = ..., errors: _Optional[bool] = ...) -> None: ...

class RouteError(_message.Message):
    __slots__ = ("category", "task", "percent", "temperature")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    category: str
    task: _manifest_pb2.Task
    percent: float
    temperature: float
    def __init__(self, category: _Optional[str] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., percent: _Optional[float] = ..., temperature: _Optional[float] = ...) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version", "errors")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    version: NetVersion
    errors: _containers.RepeatedCompositeFieldContainer[RouteError]
    def __init__(self, version: _Optional[_Union[NetVersion, _Mapping]] = ..., errors: _Optional[_Iterable[_Union[RouteError, _Mapping]]] = ...) -> None: ...

class WatchEventsRequest(_message.Message):
    __slots__ = ("after_event_id",)
    AFTER_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    after_event_id: int
    def __init__(self, after_event_id: _Optional[int] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("event_id", "kind", "subject", "detail")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    kind: str
    subject: str
    detail: str
    def __init__(self, event_id: _Optional[int] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...
