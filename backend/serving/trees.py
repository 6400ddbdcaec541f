"""All trees of a boosted ensemble walked at once, for few rows.

scikit-learn asks one tree after the other: a hundred calls for one row, each of which costs more than the tree. Here
the nodes of all trees stand in one table: which way every node sends a row is one comparison, and each level of all
trees is one look-up. The sum runs over the trees in their order, so it is scikit-learn's to the last bit
(`sklearn.ensemble._hist_gradient_boosting._predictor`, `_predict_one_from_raw_data`). The work grows with the rows: of
many, scikit-learn's way is the faster one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

CODES: Final = 256  # scikit-learn's categories are bytes
NODES: Final = 300  # looked at here for each tree in less than the time in which scikit-learn asks it


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees, one after the other; a leaf leads to itself.

    roots        (trees, ) where each begins; of several classes, those of one iteration stand together
    categorical  nodes that part by a category; `sent_left` (of these, 257): by code, the last one: missing
    baseline     (classes, ) what the sum begins with
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    depth: int
    categorical: np.ndarray
    sent_left: np.ndarray
    baseline: np.ndarray

    @property
    def most_rows(self) -> int:
        """Of more at once scikit-learn's walk is as fast, or not much slower."""
        return NODES * len(self.roots) // len(self.feature)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """(rows, classes) of (rows, features): the values of the leaves of each row, added up."""
        return np.array([self._sum(row) for row in rows]).reshape(len(rows), len(self.baseline))

    def _sum(self, row: np.ndarray) -> np.ndarray:
        goes_left = row[self.feature] <= self.threshold
        missing = np.isnan(row)
        if missing.any():
            goes_left |= missing[self.feature] & self.missing_left
        if len(self.categorical):
            codes = row[self.feature[self.categorical]]
            codes = np.where(codes >= 0, codes % CODES, CODES).astype("int64")
            goes_left[self.categorical] = self.sent_left[np.arange(len(codes)), codes]
        following, place = np.where(goes_left, self.left, self.right), self.roots
        for _ in range(self.depth):
            place = following[place]
        terms = np.concatenate([self.baseline, self.value[place]]).reshape(-1, len(self.baseline))
        found: np.ndarray = np.add.accumulate(terms, axis=0)[-1]  # `sum` adds in another order
        return found


def trees_of(boost: Any) -> Trees:
    """The trees of a fitted histogram gradient boosting. Raises whatever another release of it makes of this."""
    if boost._baseline_prediction.dtype != np.float64:
        raise TypeError("sums are not float64")
    trees = [tree for iteration in boost._predictors for tree in iteration]
    counts = np.array([len(tree.nodes) for tree in trees])
    roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype("int64")
    nodes = np.concatenate([tree.nodes for tree in trees])
    root = np.repeat(roots, counts)
    leaf, own = nodes["is_leaf"] != 0, np.arange(len(nodes))
    categorical = np.flatnonzero((nodes["is_categorical"] != 0) & ~leaf)
    return Trees(
        roots=roots,
        feature=np.where(leaf, 0, nodes["feature_idx"]),
        threshold=nodes["num_threshold"].copy(),
        missing_left=nodes["missing_go_to_left"] != 0,
        left=np.where(leaf, own, nodes["left"] + root),
        right=np.where(leaf, own, nodes["right"] + root),
        value=nodes["value"].copy(),
        depth=int(nodes["depth"].max()),
        categorical=categorical,
        sent_left=_sent_left(boost, trees, nodes, np.repeat(np.arange(len(trees)), counts), categorical),
        baseline=boost._baseline_prediction.ravel(),
    )


def _sent_left(
    boost: Any, trees: list[Any], nodes: np.ndarray, tree_of: np.ndarray, categorical: np.ndarray
) -> np.ndarray:
    """By node and code: to the left if the node says so, to the right if training knew the code, else as a missing
    one, which is the last column."""
    known, place_of = boost._bin_mapper.make_known_categories_bitsets()
    found = np.zeros((len(categorical), CODES + 1), dtype=bool)
    for at, number in enumerate(categorical):
        node = nodes[number]
        missing = bool(node["missing_go_to_left"])
        said = _bits(trees[tree_of[number]].raw_left_cat_bitsets[node["bitset_idx"]])
        seen = _bits(known[place_of[node["feature_idx"]]])
        found[at, :CODES] = said | (~seen & missing)
        found[at, CODES] = missing
    return found


def _bits(words: np.ndarray) -> np.ndarray:
    """(256, ) truths of eight words."""
    return np.unpackbits(words.astype("<u4").view("uint8"), bitorder="little").astype(bool)
