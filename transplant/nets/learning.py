"""Learning an adapter: the problem, the explicit state, and the loop around a learner.

A learner is a pure quadruple (`prepare`, `init`, `step`, `finish`). Its state is a dictionary of
tensors and a step counter, so that it can be saved between any two steps and resumed elsewhere; what
`prepare` returns (synthetic images, targets) is a function of the problem and the seed and is made
again after a resume, never stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from transplant.errors import CheckpointInvalid, MergeCancelled, MergeNotPossible
from transplant.nets.architecture_table import adapter_architecture, seam_of
from transplant.nets.architectures import build_adapter, check_joint
from transplant.nets.placement import CPU, device_of, nets_placed, placed, resolved_device
from transplant.nets.seeded import seeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from transplant.nets.adapter import Adapter
    from transplant.nets.disclosures import DisclosedStatistics, ProbeAnswers
    from transplant.nets.learner_config import LearnerConfig
    from transplant.types import Architecture, Device, Task


@dataclass(frozen=True)
class LabelledSamples:
    """A few labelled images of the new category, where the learner is given any."""

    images: Tensor  # uint8 (N, 3, H, W)
    targets: Tensor  # uint8 (N,) or (N, H, W)


@dataclass(frozen=True)
class AdapterProblem:
    """Connect f to g_S so that g_S(h(f(I))) answers as g_T(f(I)) does. All modules are frozen.

    `teacher_task_module` is None where the site keeps g_T at home and gave `answers` to a probe instead.
    `mean_norm` and `host_mean_norm` are E||f(I)||_F and E||f_S(I)||_F where the sites disclosed them;
    otherwise both are estimated on the same synthetic images. `statistics` are what the teacher's site
    disclosed of x; `proxy_images` are unlabelled public images of the center's own, uint8 (N, 3, H, W).
    """

    category_module: nn.Module
    teacher_task_module: nn.Module | None
    host_task_module: nn.Module
    host_category_module: nn.Module
    architecture: Architecture
    host_architecture: Architecture
    task: Task
    mean_norm: float | None = None
    host_mean_norm: float | None = None
    labelled: LabelledSamples | None = None
    reorder: tuple[int, ...] | None = None
    statistics: DisclosedStatistics | None = None
    answers: ProbeAnswers | None = None
    proxy_images: Tensor | None = None

    def __post_init__(self) -> None:
        check_joint(self.architecture, self.host_architecture)

    @property
    def teacher(self) -> nn.Module:
        """Return g_T.

        Raises:
            MergeNotPossible: if the site kept it at home.
        """
        if self.teacher_task_module is None:
            raise MergeNotPossible(
                "the site keeps its task module at home, and this method runs it: learn from the site's "
                "answers (method transplant or function), or ask the site to ship modules"
            )
        return self.teacher_task_module


@dataclass(frozen=True)
class LearnerState:
    """Explicit, serialisable: how far, and every tensor that the next step needs."""

    step: int
    tensors: dict[str, Tensor]

    def to_bytes(self) -> bytes:
        """Serialise as safetensors, from copies on the CPU."""
        tensors = {name: tensor.contiguous() for name, tensor in placed(self.tensors, CPU).items()}
        return save_tensors(tensors | {"step": torch.tensor(self.step)})

    @classmethod
    def from_bytes(cls, data: bytes) -> LearnerState:
        """Read what `to_bytes` wrote.

        Raises:
            CheckpointInvalid: if the bytes are not such a state.
        """
        try:
            tensors = load_tensors(data)
            step = int(tensors["step"].item()) if "step" in tensors else -1
        except (SafetensorError, ValueError, RuntimeError) as error:
            raise CheckpointInvalid(f"the learner's checkpoint is damaged: {error}") from error
        if step < 0:
            raise CheckpointInvalid("the learner's checkpoint does not say its step")
        return cls(step, {name: tensor for name, tensor in tensors.items() if name != "step"})


@dataclass(frozen=True)
class LearnedAdapter:
    """What a learner gives back; `figures` are data-free (agreement in percent, losses).

    The adapter is on the CPU; `device` says what it was learned on.
    """

    adapter: Adapter
    architecture: Architecture
    figures: dict[str, float] = field(default_factory=dict[str, float])
    device: str = "cpu"


class Learner(Protocol):
    """One method of learning an adapter."""

    def total_steps(self, config: LearnerConfig) -> int:
        """Return how many times `step` is to be called."""
        ...

    def prepare(self, problem: AdapterProblem, config: LearnerConfig) -> Any:
        """Return the material, a function of its arguments only."""
        ...

    def init(self, problem: AdapterProblem, config: LearnerConfig, material: Any) -> LearnerState:
        """Return the state before the first step."""
        ...

    def step(
        self, problem: AdapterProblem, config: LearnerConfig, material: Any, state: LearnerState
    ) -> tuple[LearnerState, dict[str, float]]:
        """Return the next state and this step's figures."""
        ...

    def finish(
        self, problem: AdapterProblem, config: LearnerConfig, material: Any, state: LearnerState
    ) -> LearnedAdapter:
        """Return the adapter and its figures."""
        ...


def run_learner(
    learner: Learner,
    problem: AdapterProblem,
    config: LearnerConfig,
    *,
    device: Device = "cpu",
    resume: bytes | None = None,
    save: Callable[[bytes], None] | None = None,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> LearnedAdapter:
    """Drive a learner from its start or from a checkpoint to its adapter.

    Args:
        learner: the method.
        problem: what to connect.
        config: the knobs; all randomness comes from `config.seed`.
        device: what to learn on; the problem's own nets stay where they are.
        resume: bytes that `save` was given earlier for the same problem and config.
        save: called with the state every `config.checkpoint_every` steps.
        progress: called as (steps done, steps in all, figures) before the first and after each step.
        cancelled: asked before each step.

    Raises:
        MergeCancelled: if `cancelled` said so.
        CheckpointInvalid: if `resume` is damaged.
        InvalidSettings: if `device` is not there.
    """
    place = resolved_device(device)
    problem = nets_placed(problem, place)
    material = placed(learner.prepare(problem, config), place)
    state = LearnerState.from_bytes(resume) if resume else learner.init(problem, config, material)
    state = placed(state, place)
    total = learner.total_steps(config)
    figures: dict[str, float] = {}
    while True:
        if progress is not None:
            progress(state.step, total, figures)
        if state.step >= total:
            learned = learner.finish(problem, config, material, state)
            return replace(learned, adapter=placed(learned.adapter, CPU), device=place.type)
        if cancelled is not None and cancelled():
            raise MergeCancelled(f"cancelled at step {state.step} of {total}")
        state, figures = learner.step(problem, config, material, state)
        if save is not None and state.step % config.checkpoint_every == 0 and state.step < total:
            save(state.to_bytes())


def new_adapter(problem: AdapterProblem, config: LearnerConfig, beta: float) -> tuple[Adapter, Architecture]:
    """Build the transparent adapter that a problem and its config ask for, beside g_S."""
    architecture = adapter_architecture(
        seam_of(problem.architecture).channels,
        seam_of(problem.host_architecture).channels,
        config.layers,
        config.kernel,
        problem.reorder,
    )
    adapter = build_adapter(architecture)
    adapter.set_beta(beta)
    adapter.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks this form
    return placed(adapter, device_of(problem.host_task_module)), architecture


def disclosed_beta(problem: AdapterProblem) -> float:
    """Return E||f_S(I)||_F / E||f(I)||_F where both sites disclosed their scale, else 1."""
    if problem.mean_norm is None or problem.host_mean_norm is None:
        return 1.0
    return problem.host_mean_norm / problem.mean_norm


def step_generator(config: LearnerConfig, step: int) -> torch.Generator:
    """Return the generator of one step: nothing random outlives a step, so nothing random is stored."""
    return seeded(config.seed, step)
