"""`transplant-central plan` and `net retire | rollback | claim | cancel | retry | fine-tune | lineage`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from central.console import AsJson, Home, RegistryUrl, show, stop_sign
from central.home import open_known_registry
from central.merge.public_images import look_at_public_images
from central.net.served_settings import served_settings
from transplant.types import Identity, Role, Task

if TYPE_CHECKING:
    from collections.abc import Generator

    from central.settings import CentralSettings
    from central.usecases.center import Center
    from transplant.types import NetVersion

_TELL_S = 5.0

Category = Annotated[str, typer.Argument(help="Category of the routes.")]
MergeKey = Annotated[str, typer.Argument(metavar="KEY", help="Of the merge, or how it begins.")]
OneTask = Annotated[Task, typer.Argument(help="Task of the route.")]


def register(app: typer.Typer, net: typer.Typer) -> None:
    """Add the commands."""
    app.command("plan")(plan)
    for name, command in {
        "retire": net_retire,
        "rollback": net_rollback,
        "claim": net_claim,
        "cancel": net_cancel,
        "retry": net_retry,
        "fine-tune": net_fine_tune,
        "lineage": net_lineage,
    }.items():
        net.command(name)(command)


def plan(home: Home, as_json: AsJson = False, registry_url: RegistryUrl = None) -> None:
    """Show what a center would learn next with the settings that it served with last; nothing is changed."""
    from central.net.plan_report import plan_document, plan_tables

    settings = served_settings(home, registry_url)
    policy = settings.policy().plan
    if settings.proxy is not None:
        policy = replace(policy, proxy=look_at_public_images(settings.proxy).digest)
    registry = open_known_registry(settings)
    try:
        with registry.read() as books:
            document = plan_document(books, policy)
    finally:
        registry.close()
    show(document, plan_tables(document), as_json=as_json)


def net_retire(
    category: Category,
    home: Home,
    task: Annotated[Task | None, typer.Option(help="Only the route of this task.")] = None,
    registry_url: RegistryUrl = None,
) -> None:
    """Publish a version without a category's routes; earlier ones keep them. A center may serve meanwhile."""
    from central.usecases.change_net import retire_routes

    with center_of(served_settings(home, registry_url)) as center:
        version = retire_routes(center, category, task)
    _tell(version)


def net_rollback(
    number: Annotated[int, typer.Argument(min=1, help="The version whose routes come back.")],
    home: Home,
    category: Annotated[
        str | None, typer.Option(help="Only the routes of this category; all others stay as they are.")
    ] = None,
    task: Annotated[Task | None, typer.Option(help="Of the category only the route of this task.")] = None,
    registry_url: RegistryUrl = None,
) -> None:
    """Publish a new version with the very routes of an earlier one. A center may serve meanwhile."""
    from central.usecases.change_net import roll_back

    with center_of(served_settings(home, registry_url)) as center:
        version = roll_back(center, number, category, task)
    _tell(version)


def net_claim(
    category: Annotated[str, typer.Argument(help="A category that several sites bring.")],
    home: Home,
    site: Annotated[str, typer.Option(help="The site whose teachers its routes shall come from.")],
    registry_url: RegistryUrl = None,
) -> None:
    """Decide whose a category is that several sites bring; what the others brought is kept."""
    from central.usecases.decide_claim import decide_claim, left_behind

    with center_of(served_settings(home, registry_url)) as center:
        added = decide_claim(center, category, site)
        with center.registry.read() as books:
            number = left_behind(books, category, site)
    typer.echo(f"{category} is of site {site}: {added} merges planned")
    if number:
        typer.echo(
            f"its routes of version {number} are not in the net any more: `transplant-central net rollback "
            f"{number} --category {category}` brings them back"
        )


def net_cancel(merge: MergeKey, home: Home, registry_url: RegistryUrl = None) -> None:
    """Stop a merge that has not ended; a newer teacher of its site would be planned anew."""
    from central.registry.audit_book import CONSOLE
    from central.usecases.cancel_merge import cancel_merge
    from central.usecases.read_merges import merge_named

    with center_of(served_settings(home, registry_url)) as center:
        with center.registry.read() as books:
            key = merge_named(books, merge).task.key
        ended = cancel_merge(center, Identity(Role.OPERATOR, CONSOLE), key)
    typer.echo(f"{ended.merge_key}  {ended.category}/{ended.task.value} is {ended.state.value}")


def net_retry(merge: MergeKey, home: Home, registry_url: RegistryUrl = None) -> None:
    """Have a merge tried once more that failed, or its site asked again that did not answer in time."""
    from central.usecases.retry_merge import retry_merge

    with center_of(served_settings(home, registry_url)) as center:
        again = retry_merge(center, merge)
    task, state = again.task, again.status.state
    typer.echo(f"{task.key}  {task.category}/{task.task.value} is {state.value}")


def net_fine_tune(
    task: OneTask,
    home: Home,
    category: Annotated[
        list[str] | None,
        typer.Option(help="A category to take part; again for more (all that lead into one task module)."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="In all; categories take turns.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    registry_url: RegistryUrl = None,
) -> None:
    """Fine-tune a task module on the categories behind it, as a new module, without an image of any.

    The module that is in the net stays as it is. Each category that the new one promises to serve no worse
    gets a candidate with it, which passes the same gates as every other and takes the published route's place
    only if the category's own site finds it no worse. A center may serve meanwhile; it must, for the gates to
    decide.
    """
    from central.home import store_place
    from central.usecases.fine_tune import fine_tune

    told_s = [0.0]

    def progress(step: int, of: int, loss: float) -> None:
        if step == of or time.monotonic() - told_s[0] > _TELL_S:
            told_s[0] = time.monotonic()
            typer.echo(f"step {step} of {of}, loss {loss:.4f}")

    settings = served_settings(home, registry_url)
    with center_of(settings) as center, stop_sign() as stopped:
        tuned = fine_tune(
            center, store_place(settings), task, category or (),
            steps=steps, seed=seed, progress=progress, stopped=stopped,
        )  # fmt: skip
    for name, before in tuned.before.items():
        key = tuned.candidates.get(name)
        outcome = f"candidate {key[:12]}" if key else "stays as it is"
        typer.echo(
            f"{name}: agreement with its teacher {before['agreement']:.1f} % -> "
            f"{tuned.after[name]['agreement']:.1f} %, {outcome}"
        )
    typer.echo(f"new task module {tuned.task_module}")


def net_lineage(
    category: Category,
    task: OneTask,
    home: Home,
    version: Annotated[int, typer.Option(min=0, help="Number of the version; 0: the newest.")] = 0,
    as_json: AsJson = False,
    registry_url: RegistryUrl = None,
) -> None:
    """Show where a route comes from: sites, teachers, data counts, disclosures, seeds, figures, approvals."""
    from central.net.lineage import lineage_document
    from central.net.lineage_tables import lineage_tables

    registry = open_known_registry(served_settings(home, registry_url))
    try:
        with registry.read() as books:
            document = lineage_document(books, category, task, version)
    finally:
        registry.close()
    show(document, lineage_tables(document), as_json=as_json)


@contextmanager
def center_of(settings: CentralSettings) -> Generator[Center]:
    """Yield the center of a home, to change its net as a serving one would."""
    import torch

    from central.compose import compose_center

    torch.set_num_threads(1)  # equal bits, as when it serves
    registry = open_known_registry(settings)
    try:
        yield compose_center(settings, registry)
    finally:
        registry.close()


def _tell(version: NetVersion) -> None:
    typer.echo(f"published version {version.number} with {len(version.routes)} routes")
