"""The Jinja2 sandbox that prompt templates run in: what a template may be made of, and how large it may grow.

A template comes from us, from a user's file or from a stranger's recipe. It may put in variables, choose and repeat;
it cannot load files, call functions, keep state, reach the methods of an object, or make text without bound. Kept apart
from `prompts.py` because Jinja2 takes 40 ms and 6 MB that a run without templates does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import do_indent
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MAX_RENDERED = 20_000_000
_FILTERS = ("join", "length", "lower", "upper", "trim", "replace", "indent", "first", "last", "default", "tojson")
_PARTS = (
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.For,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Filter,
    nodes.Test,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Pow,
    nodes.Neg,
    nodes.Concat,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
)
"""What a template may be made of: nothing that loads files, calls functions or keeps state."""
_METHODS = ("items", "keys", "values")


class TemplateFault(Exception):
    """A template does not compile or does not render; the text says why."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox without the operators that make a few characters of template into gigabytes of text."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Allow arithmetic on small numbers only."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers or (operator == "**" and (abs(left) > 1000 or abs(right) > 16)):
            raise SecurityError(f"operator '{operator}' takes small numbers only")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Sandbox:
    env = _Sandbox(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
    )
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in _FILTERS} | {"replace": _replace, "indent": _indent}
    return env


def _replace(text: Any, old: str, new: str) -> str:
    given = str(text)
    _refuse_size(len(given) + given.count(old) * len(new))
    return given.replace(old, new)


def _indent(text: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    given = str(text)
    _refuse_size(len(given) + (given.count("\n") + 1) * width)
    return do_indent(given, width, first, blank)


def _refuse_size(characters: int) -> None:
    if characters > _MAX_RENDERED:
        raise SecurityError(f"more than {_MAX_RENDERED:,} characters")


_ENV = _environment()


def compile_template(source: str, inputs: Sequence[str]) -> Any:
    """Compile one turn of a template.

    Raises:
        TemplateFault: if it does not parse, uses a variable that is no input, or a construct that is not allowed.
    """
    try:
        tree = _ENV.parse(source)
        _refuse_parts(tree, inputs)
        return _ENV.from_string(source)
    except (TemplateError, RecursionError) as e:
        raise TemplateFault(str(e)) from None


def _refuse_parts(tree: nodes.Template, inputs: Sequence[str]) -> None:
    unknown = sorted(meta.find_undeclared_variables(tree) - set(inputs))
    if unknown:
        raise TemplateFault(f"it uses {', '.join(unknown)}, but its inputs are {', '.join(inputs) or 'none'}")
    for node in tree.find_all(nodes.Node):
        call = isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS
        if not call and not isinstance(node, _PARTS):
            raise TemplateFault(
                f"'{type(node).__name__.lower()}' in line {node.lineno} of a turn; a template may use text, variables, "
                "if, for, filters and comparisons"
            )


def render_template(template: Any, variables: Mapping[str, Any]) -> str:
    """Render a compiled turn once, stopping when it grows too large.

    Raises:
        TemplateFault: if it cannot be rendered with these variables.
    """
    parts, size = [], 0
    try:
        for part in template.generate(variables):
            size += len(part)
            _refuse_size(size)
            parts.append(part)
    except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as e:
        raise TemplateFault(str(e)) from None
    return "".join(parts)
