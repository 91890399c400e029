from transplant.v1 import manifest_pb2 as _manifest_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MergeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MERGE_STATE_UNSPECIFIED: _ClassVar[MergeState]
    MERGE_STATE_PLANNED: _ClassVar[MergeState]
    MERGE_STATE_LEARNING: _ClassVar[MergeState]
    MERGE_STATE_CANDIDATE: _ClassVar[MergeState]
    MERGE_STATE_VALIDATING: _ClassVar[MergeState]
    MERGE_STATE_PUBLISHED: _ClassVar[MergeState]
    MERGE_STATE_REJECTED: _ClassVar[MergeState]
    MERGE_STATE_CANCELLED: _ClassVar[MergeState]
    MERGE_STATE_FAILED: _ClassVar[MergeState]
MERGE_STATE_UNSPECIFIED: MergeState
MERGE_STATE_PLANNED: MergeState
MERGE_STATE_LEARNING: MergeState
MERGE_STATE_CANDIDATE: MergeState
MERGE_STATE_VALIDATING: MergeState
MERGE_STATE_PUBLISHED: MergeState
MERGE_STATE_REJECTED: MergeState
MERGE_STATE_CANCELLED: MergeState
MERGE_STATE_FAILED: MergeState

class RequestMergeRequest(_message.Message):
    __slots__ = ("category_module", "task_modules", "statistics", "answers", "retry")
    CATEGORY_MODULE_FIELD_NUMBER: _ClassVar[int]
    TASK_MODULES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    category_module: str
    task_modules: _containers.RepeatedScalarFieldContainer[str]
    statistics: str
    answers: _containers.RepeatedScalarFieldContainer[str]
    retry: bool
    def __init__(self, category_module: _Optional[str] = ..., task_modules: _Optional[_Iterable[str]] = ..., statistics: _Optional[str] = ..., answers: _Optional[_Iterable[str]] = ..., retry: _Optional[bool] = ...) -> None: ...

class MergeSummary(_message.Message):
    __slots__ = ("merge_key", "category", "task", "state", "step", "total_steps", "figures", "reason", "version_number")
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    merge_key: str
    category: str
    task: _manifest_pb2.Task
    state: MergeState
    step: int
    total_steps: int
    figures: _containers.RepeatedCompositeFieldContainer[_manifest_pb2.Metric]
    reason: str
    version_number: int
    def __init__(self, merge_key: _Optional[str] = ..., category: _Optional[str] = ..., task: _Optional[_Union[_manifest_pb2.Task, str]] = ..., state: _Optional[_Union[MergeState, str]] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ..., figures: _Optional[_Iterable[_Union[_manifest_pb2.Metric, _Mapping]]] = ..., reason: _Optional[str] = ..., version_number: _Optional[int] = ...) -> None: ...

class RequestMergeResponse(_message.Message):
    __slots__ = ("teacher_id", "merges")
    TEACHER_ID_FIELD_NUMBER: _ClassVar[int]
    MERGES_FIELD_NUMBER: _ClassVar[int]
    teacher_id: str
    merges: _containers.RepeatedCompositeFieldContainer[MergeSummary]
    def __init__(self, teacher_id: _Optional[str] = ..., merges: _Optional[_Iterable[_Union[MergeSummary, _Mapping]]] = ...) -> None: ...

class ListMergesRequest(_message.Message):
    __slots__ = ("category",)
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    category: str
    def __init__(self, category: _Optional[str] = ...) -> None: ...

class ListMergesResponse(_message.Message):
    __slots__ = ("merges",)
    MERGES_FIELD_NUMBER: _ClassVar[int]
    merges: _containers.RepeatedCompositeFieldContainer[MergeSummary]
    def __init__(self, merges: _Optional[_Iterable[_Union[MergeSummary, _Mapping]]] = ...) -> None: ...

class WatchMergeRequest(_message.Message):
    __slots__ = ("merge_key",)
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    merge_key: str
    def __init__(self, merge_key: _Optional[str] = ...) -> None: ...

class WatchMergeResponse(_message.Message):
    __slots__ = ("merge",)
    MERGE_FIELD_NUMBER: _ClassVar[int]
    merge: MergeSummary
    def __init__(self, merge: _Optional[_Union[MergeSummary, _Mapping]] = ...) -> None: ...

class CancelMergeRequest(_message.Message):
    __slots__ = ("merge_key",)
    MERGE_KEY_FIELD_NUMBER: _ClassVar[int]
    merge_key: str
    def __init__(self, merge_key: _Optional[str] = ...) -> None: ...

class CancelMergeResponse(_message.Message):
    __slots__ = ("merge",)
    MERGE_FIELD_NUMBER: _ClassVar[int]
    merge: MergeSummary
    def __init__(self, merge: _Optional[_Union[MergeSummary, _Mapping]] = ...) -> None: ...
