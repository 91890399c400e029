from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModuleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_KIND_UNSPECIFIED: _ClassVar[ModuleKind]
    MODULE_KIND_CATEGORY: _ClassVar[ModuleKind]
    MODULE_KIND_TASK: _ClassVar[ModuleKind]
    MODULE_KIND_ADAPTER: _ClassVar[ModuleKind]
    MODULE_KIND_STATISTICS: _ClassVar[ModuleKind]
    MODULE_KIND_ANSWERS: _ClassVar[ModuleKind]

class Task(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_UNSPECIFIED: _ClassVar[Task]
    TASK_CLASSIFICATION: _ClassVar[Task]
    TASK_SEGMENTATION: _ClassVar[Task]

class Disclosure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISCLOSURE_UNSPECIFIED: _ClassVar[Disclosure]
    DISCLOSURE_NONE: _ClassVar[Disclosure]
    DISCLOSURE_SCALE: _ClassVar[Disclosure]
    DISCLOSURE_MOMENTS: _ClassVar[Disclosure]
    DISCLOSURE_PCA: _ClassVar[Disclosure]
MODULE_KIND_UNSPECIFIED: ModuleKind
MODULE_KIND_CATEGORY: ModuleKind
MODULE_KIND_TASK: ModuleKind
MODULE_KIND_ADAPTER: ModuleKind
MODULE_KIND_STATISTICS: ModuleKind
MODULE_KIND_ANSWERS: ModuleKind
TASK_UNSPECIFIED: Task
TASK_CLASSIFICATION: Task
TASK_SEGMENTATION: Task
DISCLOSURE_UNSPECIFIED: Disclosure
DISCLOSURE_NONE: Disclosure
DISCLOSURE_SCALE: Disclosure
DISCLOSURE_MOMENTS: Disclosure
DISCLOSURE_PCA: Disclosure

class Architecture(_message.Message):
    __slots__ = ("id", "hyper_parameters")
    ID_FIELD_NUMBER: _ClassVar[int]
    HYPER_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    id: str
    hyper_parameters: _containers.RepeatedCompositeFieldContainer[HyperParameter]
    def __init__(self, id: _Optional[str] = ..., hyper_parameters: _Optional[_Iterable[_Union[HyperParameter, _Mapping]]] = ...) -> None: ...

class HyperParameter(_message.Message):
    __slots__ = ("name", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[int]] = ...) -> None: ...

class Seam(_message.Message):
    __slots__ = ("channels", "height", "width")
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    channels: int
    height: int
    width: int
    def __init__(self, channels: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class TensorSpec(_message.Message):
    __slots__ = ("name", "dtype", "shape", "offset_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    offset_bytes: int
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., offset_bytes: _Optional[int] = ...) -> None: ...

class FeatureStatistics(_message.Message):
    __slots__ = ("level", "sample_count", "mean_norm", "channel_mean", "channel_variance")
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_NORM_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_MEAN_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    level: Disclosure
    sample_count: int
    mean_norm: float
    channel_mean: _containers.RepeatedScalarFieldContainer[float]
    channel_variance: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, level: _Optional[_Union[Disclosure, str]] = ..., sample_count: _Optional[int] = ..., mean_norm: _Optional[float] = ..., channel_mean: _Optional[_Iterable[float]] = ..., channel_variance: _Optional[_Iterable[float]] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class TrainingRecord(_message.Message):
    __slots__ = ("sample_count", "raw_bytes", "seed", "epochs")
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    RAW_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    sample_count: int
    raw_bytes: int
    seed: int
    epochs: int
    def __init__(self, sample_count: _Optional[int] = ..., raw_bytes: _Optional[int] = ..., seed: _Optional[int] = ..., epochs: _Optional[int] = ...) -> None: ...

class LibraryVersion(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("schema_version", "site", "category", "kind", "task", "architecture", "seam", "tensors", "payload_sha256", "payload_bytes", "statistics", "metrics", "training", "parents", "libraries", "transfer_forbidden")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    SEAM_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FORBIDDEN_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    site: str
    category: str
    kind: ModuleKind
    task: Task
    architecture: Architecture
    seam: Seam
    tensors: _containers.RepeatedCompositeFieldContainer[TensorSpec]
    payload_sha256: str
    payload_bytes: int
    statistics: FeatureStatistics
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    training: TrainingRecord
    parents: _containers.RepeatedScalarFieldContainer[str]
    libraries: _containers.RepeatedCompositeFieldContainer[LibraryVersion]
    transfer_forbidden: bool
    def __init__(self, schema_version: _Optional[int] = ..., site: _Optional[str] = ..., category: _Optional[str] = ..., kind: _Optional[_Union[ModuleKind, str]] = ..., task: _Optional[_Union[Task, str]] = ..., architecture: _Optional[_Union[Architecture, _Mapping]] = ..., seam: _Optional[_Union[Seam, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[TensorSpec, _Mapping]]] = ..., payload_sha256: _Optional[str] = ..., payload_bytes: _Optional[int] = ..., statistics: _Optional[_Union[FeatureStatistics, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., training: _Optional[_Union[TrainingRecord, _Mapping]] = ..., parents: _Optional[_Iterable[str]] = ..., libraries: _Optional[_Iterable[_Union[LibraryVersion, _Mapping]]] = ..., transfer_forbidden: _Optional[bool] = ...) -> None: ...
