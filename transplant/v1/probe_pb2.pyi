from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListProbeRequestsRequest(_message.Message):
    __slots__ = ("category",)
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    category: str
    def __init__(self, category: _Optional[str] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("category_module", "task", "generator", "seed", "pool", "count", "image_px", "drawings_percent", "grid")
    CATEGORY_MODULE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PX_FIELD_NUMBER: _ClassVar[int]
    DRAWINGS_PERCENT_FIELD_NUMBER: _ClassVar[int]
    GRID_FIELD_NUMBER: _ClassVar[int]
    category_module: str
    task: _manifest_pb2.Task
    generator: str
    seed: int
    pool: int
    count: int
    image_px: int
    drawings_percent: int
    grid: int
    def __init__(self, category_module: _Optional[str] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., generator: _Optional[str] = ..., seed: _Optional[int] = ..., pool: _Optional[int] = ..., count: _Optional[int] = ..., image_px: _Optional[int] = ..., drawings_percent: _Optional[int] = ..., grid: _Optional[int] = ...) -> None: ...

class ListProbeRequestsResponse(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ProbeRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ProbeRequest, _Mapping]]] = ...) -> None: ...
