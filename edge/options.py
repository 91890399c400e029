"""The flags that the commands of `transplant-edge` share; `EdgeSettings` says what they may be.

A flag that was not given is None: then the environment or the default speaks. Each function below is a
group of flags (its body is never run), and `with_options` puts groups in front of a command's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

F = TypeVar("F", bound=Callable[..., None])

_SITE, _POLICY, _DATA, _TRAINING = "Site", "What the site tells", "Data", "Training"
Home = Annotated[Path | None, typer.Option(help="The site's folder.", rich_help_panel=_SITE)]
KitFolder = Annotated[
    Path | None, typer.Option("--kit", help="Folder with the site's certificate.", rich_help_panel=_SITE)
]
Center = Annotated[str | None, typer.Option(help="HOST:PORT instead of the kit's.", rich_help_panel=_SITE)]
SiteName = Annotated[
    str | None, typer.Option("--site", help="The site's name, without a kit.", rich_help_panel=_SITE)
]
Disclosed = Annotated[
    str | None,
    typer.Option(
        "--disclosure", help="none, scale, moments or pca: how much is told.", rich_help_panel=_POLICY
    ),
]
Shipped = Annotated[
    str | None,
    typer.Option(
        "--ship", help="modules, or outputs: task modules stay here and answer.", rich_help_panel=_POLICY
    ),
]
Encoded = Annotated[
    str | None,
    typer.Option(
        "--encoding", help="f32, f16, bf16 or int8: how the weights are written.", rich_help_panel=_POLICY
    ),
]
Directions = Annotated[
    int | None, typer.Option(help="Principal directions of a class, for pca.", rich_help_panel=_POLICY)
]
Epsilon = Annotated[
    float | None, typer.Option(help="Privacy loss of the moments; else no noise.", rich_help_panel=_POLICY)
]
Delta = Annotated[float | None, typer.Option(help="Probability of more.", rich_help_panel=_POLICY)]
ClipNorm = Annotated[
    float | None, typer.Option(help="Largest norm of features that counts.", rich_help_panel=_POLICY)
]
Data = Annotated[
    str | None,
    typer.Option(help="scenes, voc_mammals, cifar10, folder:PATH or voc:ROOT.", rich_help_panel=_DATA),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of the data packs (TRANSPLANT_DATA).", rich_help_panel=_DATA)
]
DataSeed = Annotated[
    int | None, typer.Option(help="Of what is drawn or chosen; else --seed.", rich_help_panel=_DATA)
]
Category = Annotated[str | None, typer.Option(help="What this site knows.", rich_help_panel=_DATA)]
ImagePx = Annotated[
    int | None, typer.Option(help="Side to which own pictures are scaled.", rich_help_panel=_DATA)
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--task", help="classification, segmentation; else all.", rich_help_panel=_DATA),
]
Arch = Annotated[str | None, typer.Option(help="vgg_small or vgg16.", rich_help_panel=_TRAINING)]
Epochs = Annotated[
    int | None, typer.Option(help="Else 8 for scenes, 20 for photographs.", rich_help_panel=_TRAINING)
]
BatchSize = Annotated[int | None, typer.Option(rich_help_panel=_TRAINING)]
LearningRate = Annotated[float | None, typer.Option(rich_help_panel=_TRAINING)]
OptimiserName = Annotated[
    str | None, typer.Option("--optimiser", help="sgd or adamw.", rich_help_panel=_TRAINING)
]
WeightDecay = Annotated[float | None, typer.Option(rich_help_panel=_TRAINING)]
Patience = Annotated[
    int | None, typer.Option(help="Epochs without a better score to the end.", rich_help_panel=_TRAINING)
]
PrecisionName = Annotated[
    str | None, typer.Option("--precision", help="float32 or bfloat16.", rich_help_panel=_TRAINING)
]
Pretrained = Annotated[
    bool | None, typer.Option("--pretrained", help="vgg16 from ImageNet weights.", rich_help_panel=_TRAINING)
]
Seed = Annotated[int | None, typer.Option(rich_help_panel=_TRAINING)]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", help="auto (a GPU where there is one), cpu or cuda.", rich_help_panel=_TRAINING),
]
Threads = Annotated[int | None, typer.Option(help="0: as many as there are.", rich_help_panel=_TRAINING)]


Lend = Annotated[
    bool | None,
    typer.Option(
        "--lend/--no-lend", help="May other sites learn from these modules?", rich_help_panel=_POLICY
    ),
]
TransferName = Annotated[
    str | None, typer.Option("--transfer", help="none, layer, l2t, at, fm or lwf.", rich_help_panel=_TRAINING)
]
LenderName = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="catalog:CATEGORY/VERSION (of lwf its whole route lends, else its category module), "
        "torchvision:NAME or a module's file.",
        rich_help_panel=_TRAINING,
    ),
]
Retain = Annotated[
    str | None, typer.Option(help="Of --transfer layer: how many layers, or auto.", rich_help_panel=_TRAINING)
]

_ROUNDS = "Federated rounds"
RefineAt = Annotated[
    str | None,
    typer.Option(
        "--refine",
        help="HOST:PORT of the center's SuperLink: take part in its rounds. Not given: the site does not.",
        rich_help_panel=_ROUNDS,
    ),
]
RefineLabels = Annotated[
    int | None,
    typer.Option(
        help="Most labelled images that a refinement may learn from; else 0.", rich_help_panel=_ROUNDS
    ),
]
Found = Annotated[
    bool | None,
    typer.Option(
        "--found/--no-found",
        help="Found nets with others: trains shared modules on all labels here; else no.",
        rich_help_panel=_ROUNDS,
    ),
]
RefineEpsilon = Annotated[
    float | None,
    typer.Option(
        help="Privacy loss of one refinement; else its answers have no noise.", rich_help_panel=_ROUNDS
    ),
]
RefineDelta = Annotated[float | None, typer.Option(help="Probability of more.", rich_help_panel=_ROUNDS)]
RefineClipNorm = Annotated[
    float | None,
    typer.Option(help="Longest answer of a round that counts; needed for noise.", rich_help_panel=_ROUNDS),
]


def refine_options(
    refine: RefineAt = None,
    refine_labels: RefineLabels = None,
    found: Found = None,
    refine_epsilon: RefineEpsilon = None,
    refine_delta: RefineDelta = None,
    refine_clip_norm: RefineClipNorm = None,
) -> None:
    """Whether this site takes part in federated rounds, and on what terms."""


def site_options(
    home: Home = None,
    kit: KitFolder = None,
    center: Center = None,
    site: SiteName = None,
    disclosure: Disclosed = None,
    ship: Shipped = None,
    encoding: Encoded = None,
    directions: Directions = None,
    epsilon: Epsilon = None,
    delta: Delta = None,
    clip_norm: ClipNorm = None,
    lend: Lend = None,
) -> None:
    """Who this site is and what it tells."""


def teacher_options(
    data: Data = None,
    data_root: DataRoot = None,
    data_seed: DataSeed = None,
    category: Category = None,
    image_px: ImagePx = None,
    tasks: Tasks = None,
    arch: Arch = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    optimiser: OptimiserName = None,
    weight_decay: WeightDecay = None,
    patience: Patience = None,
    precision: PrecisionName = None,
    pretrained: Pretrained = None,
    seed: Seed = None,
    threads: Threads = None,
    device: DeviceName = None,
    transfer: TransferName = None,
    lender: LenderName = None,
    retain: Retain = None,
) -> None:
    """What the teacher net learns, and how."""


def with_options(*groups: Callable[..., None]) -> Callable[[F], F]:
    """Give a command `command(own, **flags)` the flags of `groups`, in its help and in `flags`."""

    def extend(command: F) -> F:
        shared = [flag for group in groups for flag in _flags(group)]
        parameters = [*shared, *_flags(command)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {flag.name: flag.annotation for flag in parameters}
        return command

    return extend


def _flags(function: Callable[..., None]) -> list[inspect.Parameter]:
    named = inspect.signature(function, eval_str=True).parameters.values()
    return [
        flag.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for flag in named
        if flag.kind is not inspect.Parameter.VAR_KEYWORD
    ]
