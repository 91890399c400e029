"""The figures in RESULTS.md's tables, and in README's summary, are means of the records, as rounded there."""

from __future__ import annotations

import re
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from benchmarks.claims.cli import RESULTS, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.records import Record

PAGE = (RESULTS.parent / "RESULTS.md").read_text(encoding="utf-8")
README = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
CATEGORIES = ("cat", "deer", "horse", "bird")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def table(heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table under a heading: cells by their first, without its emphasis."""
    (below,) = re.findall(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^\|.*\|$", below, re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {re.sub(r"[*`|]", "", first).strip(): cells for first, *cells in rows[2:]}


def numbers(cell: str) -> list[float]:
    return [float(found) for found in NUMBER.findall(cell.replace(",", ""))]


def mean(records: Sequence[Record], measure: Callable[[Record], float | None] = lambda r: r.value) -> float:
    assert records, "the table speaks of cells that no record has"
    values = [measure(record) for record in records]
    return fmean(value for value in values if value is not None)


def agree(written: float, measured: float, where: str) -> None:
    assert abs(written - measured) <= 0.0501, f"{where}: {written} is written, {measured:.3f} was measured"


def chosen(records: Iterable[Record], **wanted: object) -> list[Record]:
    return [r for r in records if all(getattr(r, name) == value for name, value in wanted.items())]


def labels_of(row: str) -> int:
    return int(numbers(row)[0])


def nothing_disclosed() -> list[Record]:
    """Return experiment 2 as its table shows it: sites shipped modules and told nothing more."""
    records = records_of(RESULTS / "exp2-cifar10.json")
    return [r for r in records if r.disclosure in ("none", None) and r.ship in (None, "modules")]


def test_experiment_1() -> None:
    records = chosen(records_of(RESULTS / "exp1-cifar10.json"), metric="error", seed=0)
    methods = {"closed form": "closed-form", "the paper's back-distillation": "back-distill",
               "direct-learn": "direct-learn"}  # fmt: skip
    rows = table("Experiment 1: an adapter inserted into the same net")
    assert len(rows) == 6
    for row, cells in rows.items():
        name, layers = row.split(", ")
        for samples, cell in zip((0, 10, 100), cells, strict=True):
            for written in numbers(cell):
                mine = chosen(records, method=methods[name], layers=labels_of(layers), samples=samples)
                assert len(mine) == 5
                agree(written, mean(mine), f"{row}, {samples} labels")


def test_experiment_2() -> None:
    records = nothing_disclosed()
    errors, gaps = chosen(records, metric="error"), chosen(records, metric="gap_closed")
    rows = table("Experiment 2: another category into the dog's classifier")
    assert len(rows) == 23
    for row, cells in rows.items():
        if row == "the teacher's own error %":
            for category, cell in zip(CATEGORIES, cells, strict=False):
                mine = chosen(errors, category=category, method="transplant", samples=0)
                agree(numbers(cell)[0], mean(mine, lambda r: r.teacher), f"{row}, {category}")
            continue
        where = {"method": row.split(",")[0], "samples": labels_of(row)}
        for category, cell in zip(CATEGORIES, cells, strict=False):
            error, share = numbers(cell)
            cell_of = {**where, "category": category}
            assert len(chosen(errors, **cell_of)) == 3, cell_of
            agree(error, mean(chosen(errors, **cell_of)), f"{row}, {category}")
            assert abs(share - mean(chosen(gaps, **cell_of))) <= 0.501, f"{row}, {category}: gap"
        agree(numbers(cells[-1])[0], mean(chosen(gaps, **where)), f"{row}: gap")


def test_experiment_3() -> None:
    records = records_of(RESULTS / "exp3-voc_mammals.json")
    rows = table("Experiment 3: the same for segmentation")
    assert len(rows) == 4
    for row, cells in rows.items():
        own = row == "the teacher's own"
        method = "transplant" if own else row.split(",")[0]
        measure: Callable[[Record], float | None] = (lambda r: r.teacher) if own else (lambda r: r.value)
        for category, cell in zip(("cat", "cow", "horse", "sheep", None), cells, strict=True):
            for metric, written in zip(("iou", "pixel_accuracy"), numbers(cell), strict=True):
                mine = chosen(records, metric=metric, method=method)
                mine = mine if category is None else chosen(mine, category=category)
                assert len(mine) == (12 if category is None else 3)
                agree(written, mean(mine, measure), f"{row}, {category}, {metric}")


def test_table_4() -> None:
    records = chosen(records_of(RESULTS / "table4-cifar10.json"), metric="error")
    rows = table("Table 4: into a host that never saw the category")
    assert len(rows) == 3
    for row, cells in rows.items():
        for category, cell in zip(CATEGORIES, cells, strict=False):
            if row == "the teacher's own":
                agree(numbers(cell)[0], mean(chosen(records, category=category), lambda r: r.teacher), row)
                continue
            for samples, written in zip((10, 20, 50, 100), numbers(cell), strict=True):
                mine = chosen(records, category=category, method=row.split(",")[0], samples=samples)
                assert len(mine) == 3
                agree(written, mean(mine), f"{row}, {category}, {samples} labels")


def test_ablations() -> None:
    records = chosen(records_of(RESULTS / "ablation-cifar10.json"), metric="error")
    usual = {"layers": 3, "kernel": 3, "disclosure": "none", "synthetic_images": 3600, "host": "dog"}
    names = {"layers of the adapter": "layers", "side of its kernels": "kernel", "disclosed": "disclosure",
             "synthetic images": "synthetic_images", "whose g_S": "host"}  # fmt: skip
    rows = table("Ablations")
    assert rows.keys() == names.keys()
    for row, (cell,) in rows.items():
        levels = re.findall(r"(\w+): \**(\d+\.\d)", cell)
        assert len(levels) >= 3
        for level, written in levels:
            value = int(level) if level.isdigit() else level
            mine = chosen(records, **{**usual, names[row]: value})
            assert len(mine) == 3
            agree(float(written), mean(mine), f"{row}, {level}")


def test_layer_transfer() -> None:
    rows = table("Layer transfer (Gutstein et al. 2007)")
    assert len(rows) == 9
    for row, cells in rows.items():
        data = "fonts" if row.startswith("fonts") else "chars"
        records = chosen(records_of(RESULTS / f"layer-transfer-{data}.json"), metric="accuracy", data=data)
        kept = row.rpartition(", ")[2]
        where: dict[str, object] = {"method": "auto"}
        if kept != "auto":
            where = {"method": "retain", "retained": int(kept) if kept.isdigit() else 0}
        for samples, cell in zip((1, 5, 10, 20, 40), cells, strict=True):
            mine = chosen(records, samples=samples, **where)
            assert len(mine) == 5
            agree(numbers(cell)[0], mean(mine), f"{row}, {samples} a class")


def test_what_and_where_to_transfer() -> None:
    records = chosen(records_of(RESULTS / "l2t.json"), metric="accuracy", data="cifar10", source="resnet20")
    methods = {
        "from scratch": "scratch",
        "learning without forgetting": "lwf",
        "attention transfer": "at",
        "both": "lwf+at",
        "last features matched": "fm-single",
        "features matched one to one": "fm-one-to-one",
        "L2T-w, last features": "l2t-w-single",
        "L2T-w, one to one": "l2t-w-one-to-one",
        "L2T-ww": "l2t-ww",
    }
    rows = table("What and where to transfer (Jang et al. 2019)")
    assert rows.keys() == methods.keys()
    for row, cells in rows.items():
        for samples, cell in zip((50, 250), cells, strict=True):
            mine = chosen(records, method=methods[row], samples=samples)
            assert len(mine) == 3
            agree(numbers(cell)[0], mean(mine), f"{row}, {samples} a class")


def test_one_category_a_site() -> None:
    records = records_of(RESULTS / "sites-one-category.json")
    methods = {"the ensemble of the teachers, whole, for comparison": "ensemble",
               "each site alone, for comparison": "local",
               "one net on all data, for comparison": "centralised"}  # fmt: skip
    rows = table("One category a site")
    assert len(rows) == 11
    for row, cells in rows.items():
        mine = chosen(records, method=methods.get(row, row.lower()))
        accuracies = chosen(mine, metric="multi_category_accuracy")
        assert len(accuracies) == 3
        values = [record.value for record in accuracies]
        measured = [fmean(values), min(values), max(values)]
        for written, value in zip(numbers(cells[1]), measured, strict=False):
            agree(written, value, f"{row}: accuracy")
        agree(numbers(cells[2])[0], mean(chosen(mine, metric="category_error")), f"{row}: error")


def test_categories_mixed_over_the_sites() -> None:
    records = records_of(RESULTS / "sites-dirichlet.json")
    names = {
        "FedDF, with 2,000 public pictures": "feddf",
        "the ensemble of the teachers, whole, for comparison": "ensemble",
        "each site alone, mean, for comparison": "local",
    }
    metrics = ("multi_category_accuracy", "category_error", "bytes_up", "bytes_down")
    rows = table("Categories mixed over the sites")
    assert len(rows) == 5
    for row, cells in rows.items():
        for alpha, cell in zip((0.1, 0.3, 0.5), cells, strict=True):
            for metric, written in zip(metrics, numbers(cell), strict=True):
                mine = chosen(records, method=names.get(row, row.lower()), alpha=alpha, metric=metric)
                assert len(mine) == 1
                unit = 2**20 if metric.startswith("bytes") else 1
                agree(written, mean(mine) / unit, f"{row}, alpha {alpha}, {metric}")


def test_the_summary_of_the_readme() -> None:
    def written(row: str) -> list[list[float]]:
        (line,) = re.findall(rf"^\| {re.escape(row)}.*\|$", README, re.MULTILINE)
        return [numbers(cell) for cell in line.strip("|").split("|")]

    exp2 = chosen(nothing_disclosed(), metric="error")
    _, ours, beside = written("CIFAR-10's cat, deer, horse, bird into a dog's classifier")
    alone = chosen(exp2, method="transplant", samples=0)
    agree(ours[0], mean(alone), "README, transplant")
    agree(ours[1], mean(chosen(exp2, method="refined", samples=0)), "README, refined")
    agree(beside[0], mean(alone, lambda r: r.teacher), "README, teachers")
    agree(beside[2], mean(chosen(exp2, method="direct-learn", samples=100)), "README, direct-learn")
    agree(beside[3], mean(chosen(exp2, method="back-distill", samples=100)), "README, back-distill")
    exp3 = chosen(records_of(RESULTS / "exp3-voc_mammals.json"), metric="iou")
    _, ours, beside = written("VOC's cat, cow, horse, sheep into a dog's segmenter")
    agree(ours[0], mean(chosen(exp3, method="transplant")), "README, transplant, IoU")
    agree(beside[0], mean(chosen(exp3, method="transplant"), lambda r: r.teacher), "README, teachers, IoU")
    agree(beside[2], mean(chosen(exp3, method="direct-learn")), "README, direct-learn, IoU")
    agree(beside[3], mean(chosen(exp3, method="back-distill")), "README, back-distill, IoU")
    sites = chosen(records_of(RESULTS / "sites-one-category.json"), metric="multi_category_accuracy")
    _, ours, beside = written("ten sites with one category each")
    agree(ours[0], mean(chosen(sites, method="transplant")), "README, transplant, sites")
    agree(ours[1], mean(chosen(sites, method="transplant-refined")), "README, refined, sites")
    peers = ("fedavg", "dense", "co-boosting", "feddf", "ensemble")
    for method, figure in zip(peers, beside, strict=True):
        agree(figure, mean(chosen(sites, method=method)), f"README, {method}")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((results/[^)]+)\)", PAGE))))
def test_every_record_that_is_linked_is_there(link: str) -> None:
    assert (RESULTS.parent / link).is_file()
