"""The layout of a binary tree by plain recursion: slow, shallow trees only, easy to believe."""

from __future__ import annotations


def lay_out_tree_recursively(left_child, right_child) -> dict[int, tuple[int, float]]:
    """Return {node: (level, row)}; leaves are ``~leaf``; the right child stands above the left."""
    places: dict[int, tuple[int, float]] = {}

    def leaves_below(node: int) -> int:
        if node < 0:
            return 1
        return leaves_below(int(left_child[node])) + leaves_below(int(right_child[node]))

    def place(node: int, level: int, first_row: int) -> float:
        if node < 0:
            places[node] = (level, float(first_row))
            return float(first_row)
        above, below = int(right_child[node]), int(left_child[node])
        row_above = place(above, level + 1, first_row)
        row_below = place(below, level + 1, first_row + leaves_below(above))
        places[node] = (level, (row_above + row_below) / 2)
        return places[node][1]

    place(0 if len(left_child) else ~0, 0, 0)
    return places
