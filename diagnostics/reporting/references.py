"""The annex of sources: every dataset that served, numbered in order of first mention, with its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from diagnostics.catalog import Catalog
from diagnostics.reporting.model import SourceNote, SourceUse


class SourceNumbers:
    """Gives each dataset its number at first mention, and writes the annex at the end.

    A dataset of which no file was read in this run (a snapshot rests on it) takes what its card says.
    """

    def __init__(self, catalog: Catalog, uses: Sequence[SourceUse]) -> None:
        self._catalog = catalog
        self._files: dict[str, list[SourceUse]] = {}
        for use in uses:
            self._files.setdefault(use.dataset_id, []).append(use)
        self._numbers: dict[str, int] = {}

    def of(self, ids: Iterable[str]) -> tuple[int, ...]:
        """The numbers of some datasets, sorted."""
        return tuple(sorted({self._numbers.setdefault(name, len(self._numbers) + 1) for name in ids}))

    def credit(self, numbers: Sequence[int]) -> str:
        """« Sources : Insee, Recensement (2022), Filosofi (2021) ; DREES, APL (2023). » Each producer is named once."""
        names = {number: name for name, number in self._numbers.items()}
        titles: dict[str, list[str]] = {}
        for note in (self._note(names[number]) for number in numbers):
            vintages = ", ".join(dict.fromkeys(file.vintage for file in note.files if file.vintage))
            titles.setdefault(note.producer, []).append(note.title + (f" ({vintages})" if vintages else ""))
        parts = [", ".join(filter(None, (producer, *said))) for producer, said in titles.items()]
        return f"{'Sources' if len(numbers) > 1 else 'Source'} : {' ; '.join(parts)}." if parts else ""

    def notes(self) -> tuple[SourceNote, ...]:
        """The annex. Datasets that no figure names (geography, boundaries) come last."""
        self.of(self._files)
        return tuple(self._note(name) for name in self._numbers)

    def _note(self, name: str) -> SourceNote:
        card, files = self._catalog.sources.get(name), self._files.get(name, [])
        said = files[0] if files else card
        return SourceNote(
            number=self._numbers[name],
            dataset_id=name,
            title=said.title if said else name.replace("_", " "),
            producer=said.producer if said else "",
            licence=said.licence if said else "",
            homepage=card.homepage if card else "",
            citation=card.citation if card else "",
            files=tuple(files),
        )
