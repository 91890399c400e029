"""`transplant-edge predict` and `transplant-edge export`: use a version that is here, offline."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.settings import EdgeSettings
from edge.site_home import SiteHome
from transplant.artifact.durable_file import storage_errors
from transplant.errors import InvalidSettings
from transplant.types import DEVICES, Device, Task

if TYPE_CHECKING:
    from transplant.artifact.net_folder import NetFolder

Home = Annotated[Path | None, typer.Option(help="The site's folder.")]
NetPath = Annotated[Path | None, typer.Option("--net", help="An exported net, instead of --home.")]
Guides = Annotated[
    int | None,
    typer.Option(
        "--guide-images",
        min=0,
        help="Synthetic images from which temperatures are learned once, of any size; 0: none. "
        "[512, for images of up to 64 pixels whose sites told how often their routes err]",
    ),
]
Version = Annotated[
    int, typer.Option("--version", min=0, help="Which version; 0 is the newest that is here.")
]


def predict(
    pictures: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    home: Home = None,
    net: NetPath = None,
    version: Version = 0,
    task: Annotated[str, typer.Option(help="classification or segmentation.")] = "classification",
    category: Annotated[list[str] | None, typer.Option(help="Which of them; else all.")] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Run only so many routes a picture, the most plausible ones.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="json (one object a line) or csv.")] = "json",
    out: Annotated[Path | None, typer.Option(help="File to write; else standard output.")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder for the masks of a segmentation, one PNG a category.")
    ] = None,
    at_once: Annotated[int, typer.Option("--batch", min=1, help="Pictures at a time.")] = 16,
    device: Annotated[
        str,
        typer.Option(envvar="TRANSPLANT_EDGE_DEVICE", help="auto (a GPU where there is one), cpu or cuda."),
    ] = "auto",
    guide_images: Guides = None,
) -> None:
    """Say what is in pictures: every category of the net at once; the pictures stay here."""
    # torch takes seconds: --help should not
    from edge.predict import GUIDE_IMAGES, calibrated_net, guided_net, predict_folder, write_lines
    from transplant.nets.placement import resolved_device

    wanted, place = _task(task), resolved_device(_device(device))
    if masks is not None and wanted is not Task.SEGMENTATION:
        raise InvalidSettings("--masks are of a segmentation: give --task segmentation, too")
    folder = _folder(home, net)
    loaded = folder.load_net(folder.version(version))
    loaded = calibrated_net(folder, loaded, (wanted,), guide_images)
    if budget is not None and budget < len(loaded.categories(wanted)):
        loaded = guided_net(folder, loaded, wanted, guide_images or GUIDE_IMAGES)
    loaded = loaded.on(place)
    answers = predict_folder(
        folder, loaded, pictures, wanted, categories=category, budget=budget, at_once=at_once
    )
    with (
        storage_errors(out or Path()),
        nullcontext(sys.stdout) if out is None else out.open("w", encoding="utf-8") as file,
    ):
        count = write_lines(answers, form, file, masks)
    typer.echo(f"version {loaded.version.number}: {count} pictures", err=True)


def export(
    out: Annotated[Path, typer.Option(help="Folder of the export.")],
    home: Home = None,
    net: NetPath = None,
    version: Version = 0,
    form: Annotated[
        list[str] | None, typer.Option("--format", help="safetensors, torch, onnx; else all of them.")
    ] = None,
    guide_images: Guides = None,
) -> None:
    """Write a version for use elsewhere: modules with a card, torch.export programs, checked ONNX files."""
    from edge.predict import calibrated_net  # torch takes seconds: --help should not
    from transplant.artifact.export_net import FORMATS, export_net

    folder = _folder(home, net)
    loaded = calibrated_net(folder, folder.load_net(folder.version(version)), Task, guide_images)
    for path in export_net(folder, loaded, out, form or FORMATS):
        typer.echo(f"{path.stat().st_size:12d}  {path.relative_to(out)}")


def register(app: typer.Typer) -> None:
    """Add the commands to `transplant-edge`."""
    app.command()(predict)
    app.command()(export)


def _folder(home: Path | None, net: Path | None) -> NetFolder:
    from edge.pull import net_folder
    from transplant.artifact.net_folder import NetFolder

    if net is not None:
        if home is not None:
            raise InvalidSettings("give --home or --net, not both")
        return NetFolder.at(net)
    return net_folder(SiteHome(EdgeSettings.of({"home": home}).home))


def _device(name: str) -> Device:
    for device in DEVICES:
        if name == device:
            return device
    raise InvalidSettings(f"--device takes {', '.join(DEVICES)}; got {name}")


def _task(name: str) -> Task:
    if name not in list(Task):
        raise InvalidSettings(f"--task takes {', '.join(Task)}; got {name}")
    return Task(name)
