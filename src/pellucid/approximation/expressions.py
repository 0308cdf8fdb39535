"""Reading a formula typed by a person, safely: a small grammar of its own, no ``eval``.

Grammar, weakest binding first (``^`` is ``**``; powers bind to the right, so ``-x**2`` is
``-(x**2)``; ``&`` and ``|`` are ``and`` and ``or``)::

    or, and, not, < <= > >= == != (may be chained), + -, * /, unary -, ** ^, f(...), numbers, names

Comparisons only stand in the condition of ``where(condition, a, b)``. A decimal number means
the float64 nearest to it, as in Python and as in the ends of a box; sums, products and quotients of
numbers are exact, so ``1/3`` is the third.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from pellucid._checks import UsageError, check_integer, did_you_mean
from pellucid.approximation.formula_tree import (
    CONDITIONS,
    MAXIMAL_DIMENSION,
    Expression,
    Node,
    shorten,
)
from pellucid.approximation.tree_building import TreeBuilder, TreeError

__all__ = ["Expression", "Node", "parse"]

#: Characters a formula may have; a readable one has a hundredth of it.
MAXIMAL_LENGTH = 10_000
#: How deep parentheses, signs and powers may be nested.
MAXIMAL_DEPTH = 80
_WINDOW = 64

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_π][A-Za-z_0-9π]*)"
    r"|(?P<operator>\*\*|<=|>=|==|!=|[-+*/^()<>,&|~]|[−×·])"
)
_SAME = {"^": "**", "−": "-", "×": "*", "·": "*", "&": "and", "|": "or", "~": "not"}
_CONSTANTS = {"pi": "pi", "π": "pi", "e": "e", "E": "e"}
_VARIABLES = {"x": 0, "y": 1, "z": 2, "x1": 0, "x2": 1, "x3": 2, "x4": 3}
#: Functions with one argument, under every name they may be typed.
_UNARY = {
    **{name: name for name in ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh")},
    **{name: name for name in ("tanh", "exp", "log", "sqrt", "abs", "sign", "sigmoid", "erf")},
    "ln": "log",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "Abs": "abs",
    "expit": "sigmoid",
    "logistic": "sigmoid",
}
#: Functions with several arguments: the fewest and the most.
_SEVERAL = {
    "min": (1, 64),
    "max": (1, 64),
    "Min": (1, 64),
    "Max": (1, 64),
    "hypot": (1, 8),
    "pow": (2, 2),
    "where": (3, 3),
    "log2": (1, 1),
    "log10": (1, 1),
}
#: Names that are read and not advertised.
_SYMPY = {"Min", "Max"}
_WORDS = {"and", "or", "not"}
#: How strongly a binary operator binds.
_BINDING = {"or": 1, "and": 2, "<": 4, "<=": 4, ">": 4, ">=": 4, "==": 4, "!=": 4}
_BINDING |= {"+": 5, "-": 5, "*": 6, "/": 6, "**": 8}
_NOT_BINDING, _SIGN_BINDING = 3, 7
_COMPARISONS = {"<": "less", "<=": "less_equal", "==": "equal", "!=": "not_equal"}
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str, dimension: int | None = None) -> Expression:
    """Read a formula.

    Variables are ``x, y, z`` or ``x1`` to ``x4``; ``t`` is always the last coordinate. Constants
    are ``pi`` and ``e``. Functions: ``sin cos tan asin acos atan sinh cosh tanh exp log log2 log10
    sqrt abs sign sigmoid erf min max hypot pow where`` (and sympy's ``Abs Min Max Piecewise``).

    Args:
        text: The formula, at most 10,000 characters.
        dimension: How many coordinates a point has, 1 to 4; ``None`` for as many as are used.

    Raises:
        UsageError: With a caret below the place that could not be read, and what to write instead.

    Example:
        >>> parse("sin(6*x)*cos(4*y)").dimension
        2
    """
    if not isinstance(text, str):
        raise UsageError(f"expression must be text, got {type(text).__name__}. Use 'sin(6*x)'.")
    if dimension is not None:
        dimension = check_integer("dimension", dimension, low=1, high=MAXIMAL_DIMENSION)
    if len(text) > MAXIMAL_LENGTH:
        raise UsageError(
            f"expression must have at most {MAXIMAL_LENGTH} characters, got {len(text)}. "
            "Use a table of values or a Python callable for functions this long."
        )
    text = re.sub(r"\s", " ", text).strip()
    if not text:
        raise UsageError("expression must not be empty. Use, for example, 'sin(6*x)*cos(4*y)'.")
    return _Parser(text, dimension).expression()


class _Parser:
    """Precedence climbing (Pratt 1973): one function for all binary operators."""

    def __init__(self, text: str, dimension: int | None) -> None:
        self._text = text
        self._tokens = self._split()
        self._position = 0
        self._depth = 0
        names = {token.text for token in self._tokens if token.kind == "name"}
        self._has_time = "t" in names
        used = [_VARIABLES[name] + 1 for name in names if name in _VARIABLES]
        counted = max(1, max(used, default=0) + self._has_time)
        self._dimension = dimension or min(MAXIMAL_DIMENSION, counted)
        if self._has_time and max(used, default=0) >= self._dimension:
            where = next(token for token in self._tokens if token.text == "t")
            if self._dimension == MAXIMAL_DIMENSION or dimension is not None:
                self._fail(
                    f"t is the last of {self._dimension} coordinates, which has another name here "
                    "already: use x1 to x4",
                    where.start,
                    where.end,
                )
        self._build = TreeBuilder()

    def expression(self) -> Expression:
        root = self._parse(0)
        if self._token.kind != "end":
            self._unexpected(self._token, after_operand=True)
        self._need_number(root, self._tokens[0])
        return Expression(self._text, self._dimension, root)

    # Tokens.

    def _split(self) -> list[_Token]:
        tokens, position = [], 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                character = self._text[position]
                hint = {
                    ".": "attributes are not allowed",
                    "=": "use == to compare, inside where(...)",
                    "[": "use parentheses ( )",
                    "{": "use parentheses ( )",
                    "²": "write **2",
                    "³": "write **3",
                }.get(character, "it has no meaning here")
                self._fail(f"unexpected character {character!r}: {hint}", position)
            kind = str(match.lastgroup)
            if kind != "space":
                word = _SAME.get(match.group(), match.group())
                kind = "operator" if word in _WORDS else kind
                tokens.append(_Token(kind, word, match.start(), match.end()))
            position = match.end()
        return [*tokens, _Token("end", "", len(self._text), len(self._text) + 1)]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._position]

    def _advance(self) -> _Token:
        token = self._token
        self._position += 1
        return token

    def _at(self, text: str) -> bool:
        return self._token.kind == "operator" and self._token.text == text

    def _expect(self, text: str, opened: _Token | None = None) -> _Token:
        if self._at(text):
            return self._advance()
        if opened is not None and self._token.kind == "end":
            self._fail("this parenthesis is never closed", opened.start, opened.end)
        self._unexpected(self._token, after_operand=True)

    # Grammar.

    def _parse(self, weakest: int) -> Node:
        """Read operands and the operators between them that bind more than ``weakest``."""
        self._depth += 1
        start = self._token.start
        if self._depth > MAXIMAL_DEPTH:
            self._fail(f"nested more than {MAXIMAL_DEPTH} deep", start)
        left = self._operand()
        while True:
            token = self._token
            binding = _BINDING.get(token.text, 0) if token.kind == "operator" else 0
            if binding < weakest or binding == 0 or (binding == weakest and token.text != "**"):
                break
            if binding == _BINDING["<"]:
                left = self._comparison(left, start)
                continue
            self._advance()
            right = self._parse(binding)
            span = (start, self._end)
            if token.text in ("and", "or"):
                self._need_condition(left, token)
                self._need_condition(right, token)
                left = self._make(token.text, left, right, span=span)
                continue
            self._need_number(left, token)
            self._need_number(right, token)
            if token.text == "**":
                left = self._guarded(self._build.power, left, right, span=span)
            else:
                left = self._make(_ARITHMETIC[token.text], left, right, span=span)
        self._depth -= 1
        return left

    def _comparison(self, left: Node, start: int) -> Node:
        """Read ``left < b <= c ...``, which means that all of it holds."""
        result = None
        while self._token.kind == "operator" and _BINDING.get(self._token.text) == _BINDING["<"]:
            token = self._advance()
            right = self._parse(_BINDING["<"])
            self._need_number(left, token)
            self._need_number(right, token)
            name, pair = token.text, (left, right)
            if name in (">", ">="):
                name, pair = name.replace(">", "<"), (right, left)
            span = (start, self._end)
            link = self._make(_COMPARISONS[name], *pair, span=span)
            result = link if result is None else self._make("and", result, link, span=span)
            left = right
        assert result is not None
        return result

    def _operand(self) -> Node:
        token = self._token
        if token.kind == "number":
            self._advance()
            node = self._guarded(self._build.number, token.text, span=(token.start, token.end))
        elif token.kind == "name":
            node = self._name()
        elif self._at("("):
            self._advance()
            node = self._parse(0)
            self._expect(")", token)
        elif self._at("-") or self._at("+"):
            self._advance()
            node = self._parse(_SIGN_BINDING)
            self._need_number(node, token)
            if token.text == "-":
                node = self._make("negate", node, span=(token.start, self._end))
            return node
        elif self._at("not"):
            self._advance()
            node = self._parse(_NOT_BINDING)
            self._need_condition(node, token)
            return self._make("not", node, span=(token.start, self._end))
        else:
            self._unexpected(token, after_operand=False)
        after = self._token
        if after.kind in ("number", "name") or self._at("("):
            left = self._text[token.start : self._end]
            self._fail(
                f"a product is written with *, so {shorten(left, 20)}*{after.text}",
                after.start,
                after.end,
            )
        return node

    def _name(self) -> Node:
        token = self._advance()
        name, span = token.text, (token.start, token.end)
        if name in _UNARY or name in _SEVERAL or name == "Piecewise":
            if not self._at("("):
                self._fail(f"{name} is a function: write {name}(...)", *span)
            opened = self._advance()
            return self._piecewise(token) if name == "Piecewise" else self._call(token, opened)
        if name == "True":
            return self._build.leaf("true", None, span)
        if name in _CONSTANTS:
            return self._guarded(self._build.leaf, "constant", _CONSTANTS[name], span=span)
        index = self._dimension - 1 if name == "t" else _VARIABLES.get(name)
        if index is None:
            choices = [*_UNARY, *_SEVERAL] if self._at("(") else [*_VARIABLES, *_CONSTANTS, "t"]
            kind = "function" if self._at("(") else "name"
            guess = did_you_mean(name, choices) or did_you_mean(
                name, [*_UNARY, *_SEVERAL, *_VARIABLES, *_CONSTANTS]
            )
            if not guess:
                guess = "Functions: " + " ".join(sorted({*_UNARY.values(), *_SEVERAL} - _SYMPY))
                guess += ". Variables: x y z t, or x1 to x4. Constants: pi e."
            self._fail(f"unknown {kind} {shorten(name, 30)!r}. {guess}", *span)
        if index >= self._dimension:
            listed = ", ".join(list(_VARIABLES)[: self._dimension])
            self._fail(
                f"{name} is coordinate {index + 1}, but there are only {self._dimension}: use "
                f"{listed if self._dimension < 4 else 'x1 to x4'}, or give the box more intervals",
                *span,
            )
        return self._guarded(self._build.leaf, "variable", index, span=span)

    def _call(self, name: _Token, opened: _Token) -> Node:
        arguments = [self._parse(0)] if not self._at(")") else []
        while self._at(","):
            self._advance()
            arguments.append(self._parse(0))
        self._expect(")", opened)
        span = (name.start, self._end)
        fewest, most = _SEVERAL.get(name.text, (1, 1))
        if not fewest <= len(arguments) <= most:
            needed = str(fewest) if fewest == most else f"{fewest} to {most}"
            self._fail(f"{name.text} takes {needed} argument(s), got {len(arguments)}", *span)
        if name.text == "where":
            self._need_condition(arguments[0], name)
        for argument in arguments[1 if name.text == "where" else 0 :]:
            self._need_number(argument, name)
        if name.text in ("min", "max", "Min", "Max"):
            fold = functools.partial(self._make, name.text.lower(), span=span)
            return functools.reduce(fold, arguments)
        if name.text == "pow":
            return self._guarded(self._build.power, *arguments, span=span)
        if name.text in ("log2", "log10"):
            base = self._build.leaf("constant", Fraction(int(name.text[3:])), span)
            logs = [self._make("log", argument, span=span) for argument in (arguments[0], base)]
            return self._make("divide", *logs, span=span)
        operation = {"hypot": "norm", "where": "where"}.get(name.text) or _UNARY[name.text]
        return self._make(operation, *arguments, span=span)

    def _piecewise(self, name: _Token) -> Node:
        """Read sympy's ``Piecewise((a, condition), ..., (b, True))`` as nested ``where``."""
        pieces: list[tuple[Node, Node]] = []
        while not pieces or self._at(","):
            if pieces:
                self._advance()
            opened = self._expect("(")
            value = self._parse(0)
            self._need_number(value, name)
            self._expect(",")
            condition = self._parse(0)
            self._need_condition(condition, name)
            self._expect(")", opened)
            pieces.append((value, condition))
        self._expect(")")
        span = (name.start, self._end)
        if pieces[-1][1].operation != "true":
            self._fail("the last piece needs the condition True, or there are gaps", *span)
        result = pieces[-1][0]
        for value, condition in reversed(pieces[:-1]):
            result = self._make("where", condition, value, result, span=span)
        return result

    # Nodes and errors.

    @property
    def _end(self) -> int:
        """Where the token that was read last ends."""
        return self._tokens[self._position - 1].end

    def _make(self, operation: str, *arguments: Node, span: tuple[int, int]) -> Node:
        return self._guarded(self._build.apply, operation, *arguments, span=span)

    def _guarded(
        self, build: Callable[..., Node], *arguments: object, span: tuple[int, int]
    ) -> Node:
        try:
            return build(*arguments, span=span)
        except TreeError as error:
            self._fail(str(error), *span)

    def _need_number(self, node: Node, user: _Token) -> None:
        if node.operation in CONDITIONS:
            self._fail(
                "a comparison has no value as a number; it may only stand in the condition of "
                "where(condition, a, b)",
                user.start,
                user.end,
            )

    def _need_condition(self, node: Node, user: _Token) -> None:
        if node.operation not in CONDITIONS:
            self._fail(
                f"{user.text} needs a condition such as x < 0.5, as in where(x < 0.5, 0, 1)",
                user.start,
                user.end,
            )

    def _unexpected(self, token: _Token, *, after_operand: bool) -> NoReturn:
        if token.kind == "end":
            self._fail("the formula ends too early", token.start)
        needed = "an operator such as * was" if after_operand else "a number, a name or ( was"
        self._fail(f"unexpected {token.text!r}: {needed} expected here", token.start, token.end)

    def _fail(self, message: str, start: int, end: int | None = None) -> NoReturn:
        end = max(start + 1, end or 0)
        first = max(0, min(start - _WINDOW // 2, len(self._text) - _WINDOW))
        shown = self._text[first : first + _WINDOW]
        width = max(1, min(end, first + _WINDOW) - start)
        before = "..." if first else ""
        after = "..." if first + _WINDOW < len(self._text) else ""
        caret = " " * (start - first + len(before)) + "^" * width
        stop = "" if message.endswith((".", "?")) else "."
        raise UsageError(
            f"expression cannot be read at character {start + 1}: {message}{stop}\n"
            f"    {before}{shown}{after}\n    {caret}"
        )
