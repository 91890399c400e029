"""Export a version of the net: modules with a card, a `torch.export` program, an ONNX file that was run.

OUT/card.json                     what it is (`transplant.artifact.net_card`)
OUT/net/N/, OUT/modules/          the version, readable again as `NetFolder.at(OUT)`
OUT/programs/TASK.pt2, TASK.onnx  all routes of a task: images -> logits, any number of images
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from transplant.artifact.codec import verify_payload
from transplant.artifact.digest import canonical_json, sha256_file
from transplant.artifact.durable_file import storage_errors, write_durably, writing_durably
from transplant.artifact.net_card import net_card
from transplant.artifact.net_document import net_document
from transplant.artifact.net_folder import NetFolder
from transplant.errors import ExportFailed, InvalidSettings
from transplant.nets.architecture_table import image_px
from transplant.nets.routes_program import RoutesProgram

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from transplant.nets.transplant_net import TransplantNet
    from transplant.types import Task

FORMATS = ("safetensors", "torch", "onnx")
_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_TOLERANCE = 1e-4
_OPSET = 18
_TRACED_IMAGES = 2
_CHECKED_IMAGES = (1, 3)


def export_net(
    source: NetFolder, net: TransplantNet, out: Path, formats: Iterable[str] = FORMATS
) -> list[Path]:
    """Write a version in every wanted form, each checked against the net itself; return the files.

    Args:
        source: where the version and its modules lie.
        net: the version, loaded.
        out: folder of the export; made where needed.
        formats: of `FORMATS`; safetensors is the modules with the card.

    Raises:
        InvalidSettings: for another format, or for ONNX where its libraries are not installed.
        ExportFailed: if an exported program answers otherwise than the net.
        ArtifactRejected: if a module was damaged.
        StorageFull: if the disk is full; whole files stay.
    """
    wanted = tuple(formats)
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise InvalidSettings(f"--format takes {', '.join(FORMATS)}; got {', '.join(unknown) or 'none'}")
    missing = [name for name in _NEEDED if find_spec(name) is None] if "onnx" in wanted else []
    if missing:
        raise InvalidSettings(
            f"ONNX needs {', '.join(missing)}: pip install 'transplant[onnx]', or leave the format onnx out"
        )
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    written = _modules(source, net, out) if "safetensors" in wanted else []
    tasks = dict.fromkeys(line.task for line in net.version.routes)
    for task in tasks:
        program = RoutesProgram(net, task, net.categories(task))
        side = _side(source, net, task)
        if "torch" in wanted:
            written.append(_torch(program, side, _program_path(out, task, "pt2")))
        if "onnx" in wanted:
            written.append(_onnx(program, side, _program_path(out, task, "onnx")))
    card = net_card(net, {module_id: source.manifest(module_id) for module_id in net.version.module_ids()})
    card["files"] = {str(path.relative_to(out)): sha256_file(path) for path in written}
    write_durably(out / "card.json", canonical_json(card) + b"\n")
    return [*written, out / "card.json"]


def _modules(source: NetFolder, net: TransplantNet, out: Path) -> list[Path]:
    copy = NetFolder.at(out)
    written: list[Path] = []
    for module_id in net.version.module_ids():
        payload = source.payload(module_id)
        verify_payload(source.manifest(module_id), payload)
        for path in (payload, payload.with_suffix(".json")):
            written.append(copy.modules[0] / path.name)
            _copy(path, written[-1])
    document = copy.net / str(net.version.number) / "net.json"
    with storage_errors(document):
        document.parent.mkdir(parents=True, exist_ok=True)
    if net.guides:
        copy.keep_guides(net.version, net.guides)
        written.append(document.parent / "guides.safetensors")
    write_durably(document, net_document(net.version))  # last: where it stands, all its modules do
    return [*written, document]


def _copy(path: Path, to: Path) -> None:
    with storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as file, writing_durably(to) as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def _side(source: NetFolder, net: TransplantNet, task: Task) -> int:
    """Return the one image side of a task's routes.

    Raises:
        InvalidSettings: if they have several.
    """
    modules = [line.category_module for line in net.version.routes if line.task is task]
    sides = {image_px(source.manifest(module_id).architecture.to_type()) for module_id in modules}
    if len(sides) > 1:
        raise InvalidSettings(
            f"the routes of {task} take images of {sorted(sides)} pixels: a program has one size; "
            "export the format safetensors"
        )
    return sides.pop()


def _program_path(out: Path, task: Task, suffix: str) -> Path:
    path = out / "programs" / f"{task.value}.{suffix}"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _torch(program: RoutesProgram, side: int, path: Path) -> Path:
    batch = torch.export.Dim("batch", min=1)
    exported = torch.export.export(
        program, (_images(_TRACED_IMAGES, side),), dynamic_shapes={"images_BCHW": {0: batch}}, strict=False
    )
    with _replacing(path) as temporary:
        torch.export.save(exported, temporary)
        again = torch.export.load(temporary).module()
        _check(path, program, side, lambda images: again(images))
    return path


def _onnx(program: RoutesProgram, side: int, path: Path) -> Path:
    import onnxruntime

    batch = torch.export.Dim("batch", min=1)
    exported: Any = torch.onnx.export(
        program,
        (_images(_TRACED_IMAGES, side),),
        dynamo=True,
        opset_version=_OPSET,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images_BCHW": {0: batch}},
        external_data=False,
        verbose=False,
    )
    with _replacing(path) as temporary:
        exported.save(str(temporary), external_data=False)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        _check(
            path,
            program,
            side,
            lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]),
        )
    return path


@contextmanager
def _replacing(path: Path) -> Generator[Path]:
    """Give the name of a file to write, which takes the place of `path` once it was found good."""
    temporary = path.with_name(f".unchecked-{path.name}")
    try:
        with storage_errors(path):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@torch.no_grad()
def _check(path: Path, program: RoutesProgram, side: int, exported: Any) -> None:
    """Compare an exported program with the net, at numbers of images that it was not traced with."""
    for count in _CHECKED_IMAGES:
        images = _images(count, side)
        wanted, told = program(images), exported(images)
        furthest = float((wanted - told).abs().max()) if wanted.shape == told.shape else float("inf")
        if not furthest <= _TOLERANCE * max(1.0, float(wanted.abs().max())):
            raise ExportFailed(
                f"{path.name} answers {count} images otherwise than the net (by {furthest:g}): it was not "
                "kept; please report the versions of torch, onnx and onnxruntime"
            )


def _images(count: int, side: int) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(count))
