"""How a model treats groups of people in production: rates of each group of a window, gaps between groups, verdicts.

Counted from the same rows as a window's other figures, stored as metric points of kind `fairness`, and read from there
by page, alert, gate, card, controls and packs: nobody computes a second time.

    measures   what is measured, by name
    counting   rows of a window to counts by group, one pass
    gaps       counts to gaps between groups, with intervals that hold for all pairs at once
    points     counts to metric points with verdicts
    standing   what the newest windows that can speak say
"""

KIND = "fairness"
