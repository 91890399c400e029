"""The examination of one module; the only place where the center runs what a stranger sent.

It runs in the examiner's process (`central.admission.worker`), under its limits, and touches neither the
registry nor the network.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from central.admission.fingerprint import fingerprint_of
from central.admission.orders import ExamineOrder, Finding
from central.admission.plausibility import check_answers_vary, check_scale, check_statistics
from central.admission.trial import try_category_module, try_task_module
from central.admission.weights import refuse_weights, weigh
from transplant.artifact.codec import load_module
from transplant.artifact.disclosed import load_answers, load_statistics
from transplant.artifact.manifest import parse_manifest
from transplant.errors import ManifestInvalid, TransplantError
from transplant.types import ModuleKind

if TYPE_CHECKING:
    from torch import Tensor

    from transplant.artifact.manifest import Manifest


def examine(order: ExamineOrder) -> Finding:
    """Return what there is to say about a module; never raises what the module did."""
    began_s = time.perf_counter()
    figures: dict[str, float] = {}
    fingerprint: list[float] = []
    error, reason = "", ""
    try:
        _examine(order, figures, fingerprint)
    except TransplantError as rejected:
        error, reason = rejected.code(), str(rejected)
    return Finding(error, reason, figures, tuple(fingerprint), time.perf_counter() - began_s)


def _examine(order: ExamineOrder, figures: dict[str, float], fingerprint: list[float]) -> None:
    manifest, payload = parse_manifest(order.manifest.encode()), Path(order.payload)
    match manifest.kind:
        case ModuleKind.CATEGORY:
            net = load_module(manifest, payload)
            fingerprint += fingerprint_of(net)
            refuse_weights(weigh(net, figures))
            features_BCHW, against = try_category_module(manifest, net, figures)
            refuse_weights(against)
            check_scale(manifest, features_BCHW, figures)
        case ModuleKind.TASK:
            net = load_module(manifest, payload)
            fingerprint += fingerprint_of(net)
            refuse_weights(weigh(net, figures))
            refuse_weights(try_task_module(manifest, net, _features_of_parent(order), figures))
        case ModuleKind.STATISTICS:
            statistics = load_statistics(manifest, payload)
            check_statistics(statistics, _features_of_parent(order), figures)
        case ModuleKind.ANSWERS:
            check_answers_vary(load_answers(manifest, payload), figures)
        case ModuleKind.ADAPTER:
            raise ManifestInvalid("kind: adapters are made by the center only")


def _features_of_parent(order: ExamineOrder) -> Tensor:
    """Return x = f(I) of the trial images, through the registered category module."""
    parent: Manifest = parse_manifest(order.parent_manifest.encode())
    net = load_module(parent, Path(order.parent_payload))
    return try_category_module(parent, net, {})[0]
