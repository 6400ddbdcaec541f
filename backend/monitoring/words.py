"""What metrics and statistics are called wherever people read: pages, messages, reports, cards. One name for each.

Sentences are stored with the names that the code has; they are told with these words. Notifiers tell them too, so that
pandas, which the registries bring, is imported only for a name without a word of its own.
"""

from __future__ import annotations

import re
from typing import Final

from backend.monitoring.fairness.measures import MEASURES

METRIC_WORDS: Final = {
    "roc_auc": "AUC", "log_loss": "log loss", "brier": "Brier score", "accuracy": "accuracy",
    "precision": "precision", "recall": "recall", "f1": "F1", "ece": "calibration error", "mae": "MAE", "rmse": "RMSE",
    "mape": "MAPE", "r2": "R²",
}  # fmt: skip
STATISTIC_WORDS: Final = {
    "ndcg": "NDCG of attributions", "rank_change": "places moved in the order of attributions",
    "psi": "PSI", "jensen_shannon": "Jensen-Shannon", "kolmogorov_smirnov": "Kolmogorov-Smirnov",
    "wasserstein": "Wasserstein", "chi_squared": "chi²", "l_infinity": "L-infinity", "missing_rate": "missing",
    "unseen_rate": "unseen values", "out_of_range_rate": "out of range", "constant_value": "constant",
    "correlation_change": "changed correlations", "pca_reconstruction": "PCA reconstruction",
    "domain_classifier": "domain classifier", "outlier_rows": "outlier rows", "rule_violations": "violations of a rule",
    "total_variation": "total variation", "kl_divergence": "KL divergence",
    "mean_shift": "shift of the mean", "schema_change": "changed schema",
}  # fmt: skip
FAIRNESS_WORDS: Final = {name: one.title for name, one in MEASURES.items() if name not in METRIC_WORDS}
_WORDS: Final = METRIC_WORDS | STATISTIC_WORDS
_NAMED: Final = re.compile(rf"\b(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\b")


def metric_word(name: str) -> str:
    """A metric within a sentence: `AUC`, `log loss`; one without a word of its own by its title."""
    if name in METRIC_WORDS:
        return METRIC_WORDS[name]
    if name in FAIRNESS_WORDS:
        return FAIRNESS_WORDS[name]
    from backend.monitoring.performance import DEFINITIONS

    known = DEFINITIONS.get(name)
    return in_sentence(known.title) if known is not None else name.replace("_", " ")


def statistic_word(name: str) -> str:
    """A statistic within a sentence, else by its title in the registry."""
    if name in STATISTIC_WORDS:
        return STATISTIC_WORDS[name]
    if name in MEASURES:
        return MEASURES[name].title
    from backend.monitoring.statistics import REGISTRY, TABLE_REGISTRY

    known = REGISTRY.get(name) or TABLE_REGISTRY.get(name)
    return in_sentence(known.title) if known is not None else name.replace("_", " ")


def named_in_words(text: str) -> str:
    """A sentence of the monitoring jobs with these words in place of the names that the code has.

    >>> named_in_words("realised roc_auc from 0.750 to 0.610")
    'realised AUC from 0.750 to 0.610'
    """
    return _NAMED.sub(lambda found: _WORDS[found.group()], text)


def in_sentence(text: str) -> str:
    """A sentence as a part of another: without its capital, unless that belongs to a short form such as PSI."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
