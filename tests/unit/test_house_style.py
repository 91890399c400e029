"""What ruff and import-linter cannot say about the tree."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = ("transplant", "central", "edge", "benchmarks")
BANNED_STEMS = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
# Written so that this file does not name what it bans.
MACHINE_PATH = re.compile("/" + r"(?:work|tmp/w|root)/")
UNFINISHED = re.compile("TO" + r"DO|FIX" + r"ME|XX" + "X")


def _sources(repository: Path) -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            if "v1" not in path.relative_to(repository).parts[:2]:
                yield path


def _texts(repository: Path) -> Iterator[Path]:
    yield from _sources(repository)
    for folder in ("deploy", "protos", ".ci", "tests"):
        yield from (
            path
            for path in sorted((repository / folder).rglob("*"))
            if path.suffix in {".py", ".md", ".yaml", ".service", ".proto", ".txt", ""} and path.is_file()
        )
    yield from (path for path in (repository / "Makefile", repository / "README.md") if path.is_file())


def test_no_file_is_named_after_nothing(repository: Path):
    assert [str(path) for path in _sources(repository) if path.stem in BANNED_STEMS] == []


def test_every_module_says_what_it_is(repository: Path):
    silent = [
        str(path) for path in _sources(repository) if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_path_of_one_machine_is_in_the_tree(repository: Path):
    assert [str(path) for path in _texts(repository) if MACHINE_PATH.search(path.read_text())] == []


def test_nothing_is_left_unfinished(repository: Path):
    assert [str(path) for path in _texts(repository) if UNFINISHED.search(path.read_text())] == []


@pytest.mark.parametrize("banned", ["pickle", "cloudpickle", "dill", "joblib"])
def test_nothing_unpickles(repository: Path, banned: str):
    guilty = [
        str(path)
        for path in _sources(repository)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == banned for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == banned)
    ]
    assert guilty == []


def test_no_help_loses_words_to_markup(repository: Path):
    """Typer hands help to Rich, which takes `[all]` for a tag and shows nothing in its place."""
    helps = [
        (path, constant)
        for path in _sources(repository)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "help"
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]
    assert len(helps) > 100
    assert [
        f"{path}:{constant.lineno}"
        for path, constant in helps
        if re.search(r"\[[a-z#/@]", str(constant.value))
    ] == []
