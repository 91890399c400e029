from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictRequest(_message.Message):
    __slots__ = ("pictures", "task", "categories", "budget", "version", "masks")
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    pictures: _containers.RepeatedScalarFieldContainer[bytes]
    task: _manifest_pb2.Task
    categories: _containers.RepeatedScalarFieldContainer[str]
    budget: int
    version: int
    masks: bool
    def __init__(self, pictures: _Optional[_Iterable[bytes]] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., categories: _Optional[_Iterable[str]] = ..., budget: _Optional[int] = ..., version: _Optional[int] = ..., masks: _Optional[bool] = ...) -> None: ...

class CategoryAnswer(_message.Message):
    __slots__ = ("category", "probability", "logit", "share_percent", "mask_png", "supervised_by")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    SHARE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MASK_PNG_FIELD_NUMBER: _ClassVar[int]
    SUPERVISED_BY_FIELD_NUMBER: _ClassVar[int]
    category: str
    probability: float
    logit: float
    share_percent: float
    mask_png: bytes
    supervised_by: str
    def __init__(self, category: _Optional[str] = ..., probability: _Optional[float] = ..., logit: _Optional[float] = ..., share_percent: _Optional[float] = ..., mask_png: _Optional[bytes] = ..., supervised_by: _Optional[str] = ...) -> None: ...

class PictureAnswer(_message.Message):
    __slots__ = ("categories",)
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.RepeatedCompositeFieldContainer[CategoryAnswer]
    def __init__(self, categories: _Optional[_Iterable[_Union[CategoryAnswer, _Mapping]]] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("version", "digest", "answers")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    answers: _containers.RepeatedCompositeFieldContainer[PictureAnswer]
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., answers: _Optional[_Iterable[_Union[PictureAnswer, _Mapping]]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServedTask(_message.Message):
    __slots__ = ("task", "categories", "supervised_by")
    class SupervisedByEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    SUPERVISED_BY_FIELD_NUMBER: _ClassVar[int]
    task: _manifest_pb2.Task
    categories: _containers.RepeatedScalarFieldContainer[str]
    supervised_by: _containers.ScalarMap[str, str]
    def __init__(self, task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., categories: _Optional[_Iterable[str]] = ..., supervised_by: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("version", "digest", "tasks")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    tasks: _containers.RepeatedCompositeFieldContainer[ServedTask]
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[ServedTask, _Mapping]]] = ...) -> None: ...
