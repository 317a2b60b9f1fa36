"""The kinds of concentrations (LISA), and how a reader is told of them: on maps and in reports, in the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from diagnostics import french

SINGULAR = {"commune": "commune", "epci": "intercommunalité"}
PLURAL = {"commune": "communes", "epci": "intercommunalités"}
CLUSTER_WORDS = {
    "high_high": ("est dans une concentration de valeurs élevées", "sont dans une concentration de valeurs élevées"),
    "low_low": ("est dans une concentration de valeurs faibles", "sont dans une concentration de valeurs faibles"),
    "high_low": ("est plus élevée que ses voisines", "sont plus élevées que leurs voisines"),
    "low_high": ("est plus faible que ses voisines", "sont plus faibles que leurs voisines"),
}
"""What a zone in a significant concentration is said to be: one zone, then several."""


def told_clusters(clusters: Iterable[str], level: str, where: str = "") -> str:
    """« 12 communes sur 133 sont dans une concentration de valeurs élevées et 3 sont… », or that there is none."""
    counts = Counter(clusters)
    total, said = counts.total(), []
    for kind, words in CLUSTER_WORDS.items():
        count = counts[kind]
        if count:
            noun = f" {(PLURAL if count > 1 else SINGULAR)[level]}" if not said else ""
            of_all = f" sur {french.number(total)}{where}" if not said and total > 1 else ""
            said.append(f"{french.number(count)}{noun}{of_all} {words[count > 1]}")
    return french.listing(said) or f"Aucune concentration significative parmi les {PLURAL[level]} du territoire"
