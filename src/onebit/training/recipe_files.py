"""Recipes as TOML: read with every key checked, written back resolved."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from onebit.errors import UsageError, unknown_name
from onebit.training.recipe import Recipe
from onebit.training.recipe_rules import check_recipe

T = TypeVar("T")


def list_recipes() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files("onebit.recipes")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_recipe(name: str | Path) -> Recipe:
    """A recipe by its shipped name or from a .toml file, with what it ``extends`` filled in.

    Raises:
        UsageError: for an unknown name or key (the nearest valid one is named), a value of the wrong type, broken TOML.
    """
    return recipe_from_dict(_read(name, ()))


def recipe_from_dict(data: dict[str, Any]) -> Recipe:
    """A recipe from nested dictionaries; missing keys take the defaults."""
    recipe = _build(Recipe, data, "")
    check_recipe(recipe)
    return recipe


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries of plain values (tuples as lists)."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def recipe_to_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML that :func:`load_recipe` reads back to an equal one."""
    lines: list[str] = []
    _write_table(recipe_to_dict(recipe), "", lines)
    return "\n".join(lines) + "\n"


def _read(name: str | Path, seen: tuple[str, ...]) -> dict[str, Any]:
    path = Path(name)
    known = str(path.resolve()) if path.is_file() else str(name)
    if known in seen:
        raise UsageError(f"recipe {seen[0]!r} extends itself: {' -> '.join([*seen, known])}")
    if path.suffix or len(path.parts) > 1 or path.is_file():
        if not path.is_file():
            raise UsageError(f"there is no recipe file {path}; `onebit list recipes` names the shipped ones")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"recipe {path} cannot be read as UTF-8 text: {error}") from error
    else:
        names = list_recipes()
        if str(name) not in names:
            raise unknown_name("recipe", str(name), names)
        text = (resources.files("onebit.recipes") / f"{name}.toml").read_text()
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe {name} is not valid TOML: {error}") from error
    parent = data.pop("extends", None)
    if parent is None:
        return data
    if not isinstance(parent, str):
        raise UsageError(f"recipe key 'extends' takes the name of a recipe, got {parent!r}")
    if parent.endswith(".toml") and path.is_file():
        parent = str(path.parent / parent)
    return _merge(_read(parent, (*seen, known)), data)


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    # Options belong to one model or method: a change of its name starts them anew.
    if "name" in change and change["name"] != base.get("name") and "options" in base:
        merged["options"] = {}
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _build(cls: type[T], data: dict[str, Any], path: str) -> T:
    hints = typing.get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise unknown_name("recipe key", f"{path}{key}", [f"{path}{name}" for name in hints])
    return cls(**{key: _convert(hints[key], value, f"{path}{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(f"recipe key {key!r} is a table, got {value!r}")
        return _build(typing.cast(type, hint), value, f"{key}.")
    if origin is typing.Literal:
        if value not in arguments:
            raise unknown_name(f"value of {key}:", value, map(str, arguments))
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"recipe key {key!r} is a list, got {value!r}")
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise UsageError(f"recipe key {key!r} takes {len(inner)} values, got {value!r}")
        return tuple(_convert(i, v, key) for i, v in zip(inner, value, strict=True))
    if origin in (typing.Union, types.UnionType):
        return value
    kind = origin or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"recipe key {key!r} takes {kind.__name__}, got {value!r}")
    return value


def _write_table(table: dict[str, Any], path: str, lines: list[str]) -> None:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and (plain or not table):
        lines += ["", f"[{path}]"]
    lines += [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _write_table(value, f"{path}.{key}" if path else key, lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def override_recipe(recipe: Recipe, arguments: list[str], program: str) -> Recipe:
    """The recipe with command-line overrides such as ``--optimizer.lr 0.01``; a wrong one exits with status 2.

    Values of ``model.options`` and ``method.options`` are given as pairs, ``--method.options kernel_grad full``, and read as
    TOML where they can be (numbers, true, false, lists), else as text.
    """
    import tyro

    if not arguments:
        return recipe
    own = {"model": dict(recipe.model.options), "method": dict(recipe.method.options)}
    flat = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, options={}),
        method=dataclasses.replace(recipe.method, options={}),
    )
    changed = tyro.cli(Recipe, default=flat, prog=program, args=arguments)
    for part, old_name in (("model", recipe.model.name), ("method", recipe.method.name)):
        table = getattr(changed, part)
        given = {key: _parse_value(value) for key, value in table.options.items()}
        # Options belong to one model or method: a change of its name starts them anew.
        table.options = {**(own[part] if table.name == old_name else {}), **given}
    return changed


def _parse_value(text: Any) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
