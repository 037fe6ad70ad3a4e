"""What the documents say has to be so: code compiles and runs, links lead somewhere, commands and recipes exist."""

import ast
import dataclasses
import doctest
import re
import tomllib
import typing
from pathlib import Path

import pytest

from onebit.cli import COMMANDS
from onebit.training import Recipe, list_recipes, recipe_from_dict
from onebit.training.recipe_files import load_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("README.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page, language):
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


def command_lines(page):
    """Every `onebit ...` that the page shows, in a block or inside a sentence, as lists of words."""
    text = page.read_text()
    shells = [block for kind, block in BLOCK.findall(text) if kind in ("sh", "bash", "console", "")]
    shown = [line for block in shells for line in block.splitlines()]
    shown += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    for line in shown:
        words = line.split("#")[0].removeprefix("$ ").split()
        if words and re.fullmatch(r"(\S*/)?onebit", words[0]):
            yield words[1:]


def test_there_are_pages():
    assert {"index.md", "quickstart.md", "training.md", "recipes.md"} <= {page.name for page in PAGES}


@on_every_page
def test_python_blocks_compile_and_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "python"):
        if ">>>" not in text:
            ast.parse(text, filename=str(page))
            continue
        test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
        failures = doctest.DocTestRunner(verbose=False).run(test).failed
        assert not failures, f"{failures} examples of {page.name} fail; see the captured output"


@on_every_page
def test_toml_blocks_are_recipes(page):
    for text in blocks(page, "toml"):
        table = tomllib.loads(text)
        parent = table.pop("extends", None)
        assert parent is None or load_recipe(parent)
        recipe_from_dict(table)


@on_every_page
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target) and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


@on_every_page
def test_commands_and_recipes_exist(page):
    for words in command_lines(page):
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        assert words[0] in COMMANDS, f"{page.name} shows `onebit {' '.join(words)}`"
        if words[0] == "train" and len(words) > 1 and re.fullmatch(r"[a-z][\w-]*", words[1]):
            assert words[1] in list_recipes(), f"{page.name} trains {words[1]!r}"


@on_every_page
def test_overridden_keys_exist(page):
    for words in command_lines(page):
        for key in (word.removeprefix("--").partition("=")[0] for word in words if re.match(r"--\w+\.", word)):
            kind = Recipe
            for part in key.replace(".no-", ".").split("."):
                assert dataclasses.is_dataclass(kind), f"{page.name} sets {key}"
                kind = typing.get_type_hints(kind).get(part)
                assert kind is not None, f"{page.name} sets {key}"
