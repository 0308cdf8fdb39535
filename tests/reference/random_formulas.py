"""Random formulas as text, for tests that compare enclosures with points."""

from __future__ import annotations

from hypothesis import strategies as st

UNARY = [
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "log"),
    *("sqrt", "abs", "sign", "sigmoid", "erf"),
]
EXPONENTS = ["2", "3", "4", "-1", "-2", "0.5", "(1/3)", "-0.5", "1.5", "5", "0", "pi"]
NUMBERS = ["0", "1", "2", "0.5", "3", "0.1", "(1/3)", "10", "pi", "e", "1e-3"]


def formulas(dimension: int, *, smooth: bool = False) -> st.SearchStrategy[str]:
    """Return formulas in ``dimension`` variables; ``smooth`` ones have no jumps."""
    leaves = st.sampled_from(["x", "y", "z"][:dimension] * 3 + NUMBERS)
    functions = [name for name in UNARY if not (smooth and name == "sign")]

    def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        ways = [
            st.builds("({}{}{})".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("{}({})".format, st.sampled_from(functions), inner),
            st.builds("({})**{}".format, inner, st.sampled_from(EXPONENTS)),
            st.builds("(-{})".format, inner),
            st.builds("{}({}, {})".format, st.sampled_from(["min", "max", "hypot"]), inner, inner),
        ]
        if not smooth:
            ways.append(st.builds("({})**({})".format, inner, inner))
            ways.append(
                st.builds(
                    "where({} {} {}, {}, {})".format,
                    inner,
                    st.sampled_from(["<", "<=", ">", "==", "!="]),
                    inner,
                    inner,
                    inner,
                )
            )
        return st.one_of(ways)

    return st.recursive(leaves, deeper, max_leaves=6)
