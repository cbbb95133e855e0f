"""JSON and YAML from outside, read strictly: what two readers could understand differently, or what never ends, is an error."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any, NoReturn

import yaml

from imu_core.records.shapes import Json

MOST_NODES, MOST_BITS = 200_000, 1024  # of a YAML text with its aliases written out; of a whole number


def from_json(text: str) -> Any:
    """The Python values that the JSON `text` says.

    ValueError where it is no JSON, a name stands twice in one object, a number is none (nan, Infinity) or has thousands of
    digits, or it is nested deeper than Python can follow. A number such as 1e400 is infinite: its range is checked where it is
    used.
    """
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Json]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:40]!r} stands twice in one place")
    return mapping


class _Strict(yaml.SafeLoader):
    """PyYAML's safe loader that refuses a key which stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping; a ConstructorError where two keys are equal."""
        if isinstance(node, yaml.MappingNode):
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for number, key in enumerate(keys):
                if key in keys[:number]:
                    mark = node.value[number][0].start_mark
                    raise yaml.constructor.ConstructorError(None, None, f"{key[1][:40]!r} stands twice in one place", mark)
        return super().construct_mapping(node, deep)


def from_yaml(text: str) -> Any:
    """The Python values that the YAML `text` says; a ValueError says why it cannot be read, with the line where that is known.

    Refused are keys that stand twice, aliases that write out to more than `MOST_NODES` values or into themselves, numbers of
    more than `MOST_BITS` bits, and whatever is no YAML.
    """
    try:
        loader = _Strict(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, frozenset()) > MOST_NODES:
            raise ValueError(f"its aliases write out to more than {MOST_NODES:,} values")
        content = loader.construct_document(node)
        _check_numbers(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it has signs that YAML does not know"
        raise ValueError(f"{str(reason)[:120]}{where}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (TypeError, AttributeError, ArithmeticError, LookupError) as error:  # a tag on something that it does not go with
        raise ValueError(f"a value in it is none of its kind ({str(error)[:80]})") from error
    return content


def _size(node: yaml.Node, known: dict[int, int], above: frozenset[int]) -> int:
    """How many values `node` is with its aliases written out."""
    if id(node) in above:
        raise ValueError("an alias in it leads into itself")
    if id(node) not in known:
        parts = node.value if isinstance(node, yaml.SequenceNode) else ()
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else parts
        known[id(node)] = 1 + sum(_size(part, known, above | {id(node)}) for part in parts)
    return known[id(node)]


def _check_numbers(value: Any) -> None:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError("a whole number in it is too large")
    inner = [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, (list, tuple, set)) else ()
    for part in inner:
        _check_numbers(part)
