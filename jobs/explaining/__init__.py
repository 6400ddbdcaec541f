"""SHAP values of a version's rows: which explainer is chosen, what it needs, and whether its values add up.

`prepare` chooses once for a version and its background rows; what it gives explains any number of rows. Tried in this
order, and the first whose values add up to what the model answers is taken:

    tree         shap.TreeExplainer, exact, for boosted trees and forests: no background rows are needed
    deep         shap.DeepExplainer on the embeddings of a tabular network, where PyTorch is installed
    permutation  shap.PermutationExplainer, which asks the model itself, for everything else
"""

from __future__ import annotations

from jobs.explaining.base import Attributed, Prepared, Way, input_of
from jobs.explaining.choosing import prepare

__all__ = ["Attributed", "Prepared", "Way", "input_of", "prepare"]
