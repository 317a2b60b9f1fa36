"""The annex of sources: every file that served, numbered in order of first mention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diagnostics import french
from diagnostics.catalog import Catalog
from diagnostics.reporting.model import SourceNote, SourceUse


class SourceNumbers:
    """Numbers the files that served, in order of first mention; adds the card of a dataset that served earlier only."""

    def __init__(self, catalog: Catalog, uses: Sequence[SourceUse], profile: str) -> None:
        self._catalog = catalog
        self._profile = profile
        self._uses: dict[str, list[SourceUse]] = {}
        for use in uses:
            self._uses.setdefault(use.dataset_id, []).append(use)
        self._numbered: list[tuple[str, SourceUse, bool]] = []

    def _number(self, dataset_id: str) -> list[int]:
        if not any(known == dataset_id for known, _, _ in self._numbered):
            uses = self._uses.get(dataset_id)
            self._numbered += (
                [(dataset_id, u, True) for u in uses] if uses else [(dataset_id, self._card(dataset_id), False)]
            )
        return [n for n, (known, _, _) in enumerate(self._numbered, start=1) if known == dataset_id]

    def _card(self, dataset_id: str) -> SourceUse:
        """A dataset no file of which was read in this run: a snapshot rests on it."""
        card = self._catalog.sources.get(dataset_id)
        if card is None:
            return SourceUse(dataset_id, dataset_id.replace("_", " "), "", "", "", "", None, None)
        vintages = french.listing(list(dict.fromkeys(d.vintage for d in card.distributions)))
        return SourceUse(dataset_id, card.title, card.producer, vintages, card.licence, card.homepage, None, None)

    def of(self, ids: Iterable[str]) -> tuple[int, ...]:
        return tuple(n for dataset_id in dict.fromkeys(ids) for n in self._number(dataset_id))

    def credit(self, numbers: Sequence[int]) -> str:
        """« Source : Insee, Recensement (2022) ; DREES, APL (2023). »"""
        vintages: dict[tuple[str, str], dict[str, None]] = {}
        for use in (self._numbered[n - 1][1] for n in numbers):
            vintages.setdefault((use.producer, use.title), {}).update({use.vintage: None} if use.vintage else {})
        parts = [
            ", ".join(filter(None, names)) + (f" ({', '.join(years)})" if years else "")
            for names, years in vintages.items()
        ]
        return f"{'Sources' if len(parts) > 1 else 'Source'} : {' ; '.join(parts)}." if parts else ""

    def notes(self) -> tuple[SourceNote, ...]:
        """Every source, those that no figure names (geography, boundaries) last."""
        for dataset_id in self._uses:
            self._number(dataset_id)
        cards = self._catalog.sources
        return tuple(
            SourceNote(
                number=number,
                use=use,
                citation=cards[dataset_id].citation if dataset_id in cards else "",
                notes=cards[dataset_id].notes if dataset_id in cards else "",
                fetched=fetched,
            )
            for number, (dataset_id, use, fetched) in enumerate(self._numbered, start=1)
        )
