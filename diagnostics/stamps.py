"""What each product stands on, as one digest: its inputs' stamps, its cards, its code.

Pure but for the code, which is that of this process: the same cards and the same raw files give the same stamps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

from diagnostics.catalog import Catalog, Profile
from diagnostics.indicators.engine import REFERENCE_POPULATION
from diagnostics.indicators.parts import PRESENTATION, Part, parts
from diagnostics.storage import PROJECT_ROOT


def digest(*parts: object) -> str:
    """Short sha256 of any JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


@cache
def code_digest(*packages: str) -> str:
    """Digest of the code of these packages of `diagnostics` and of the assets that call them."""
    folders = [PROJECT_ROOT / "diagnostics" / p for p in packages] + [PROJECT_ROOT / "assets"]
    files = sorted(f for folder in folders for f in folder.rglob("*") if f.suffix in {".py", ".j2", ".css", ".html"})
    shared = [PROJECT_ROOT / "diagnostics" / name for name in ("french.py", "sql.py", "words.py")]
    return digest([(f.name, file_digest(f)) for f in [*files, *shared]])


class Cards:
    """What the catalogue says in one profile. Cards never change after loading: each is digested once."""

    def __init__(self, catalog: Catalog, profile: Profile) -> None:
        self.catalog, self.profile = catalog, profile

    @cached_property
    def observed(self) -> dict[str, str]:
        """dataset -> digest of its card."""
        return {name: digest(source.model_dump(mode="json")) for name, source in self.catalog.sources.items()}

    @cached_property
    def beside(self) -> dict[str, list[str]]:
        """dataset -> the other datasets whose tables it brings beside its own."""
        return {dataset: self.catalog.beside(dataset, self.profile) for dataset in self.catalog.sources}

    @cached_property
    def with_tables(self) -> set[str]:
        """The datasets that give a reference table."""
        sources = self.catalog.sources.values()
        return {s.id for s in sources if any(d.table for d in s.of_profile(self.profile))}

    @cached_property
    def with_iris(self) -> set[str]:
        """The datasets that name IRIS: those of the pivot geography are the ones that some dataset speaks of."""
        return {s.id for s in self.catalog.sources.values() if s.names_zones("iris", self.profile)}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """indicator -> the part of the public table that it is computed with."""
        return parts(self.catalog, self.profile)

    @cached_property
    def themes(self) -> str:
        return digest({key: theme.model_dump(mode="json") for key, theme in self.catalog.themes.items()})

    @cached_property
    def shown(self) -> dict[str, str]:
        """indicator -> digest of its card, and of the colours of its theme."""
        return {
            i.id: digest(i.model_dump(mode="json"), self.catalog.theme_of[i.id].palette)
            for i in self.catalog.indicators.values()
        }

    @cached_property
    def computed(self) -> dict[str, str]:
        """indicator -> digest of what its card says of its figures."""
        indicators = [self.catalog.indicators[name] for name in {*self.parts, REFERENCE_POPULATION}]
        return {i.id: digest(i.model_dump(mode="json", exclude=PRESENTATION)) for i in indicators}

    @cached_property
    def perimeters(self) -> str:
        territories = self.catalog.territories.values()
        return digest({t.id: t.model_dump(mode="json", exclude={"axes"}) for t in territories})

    @cached_property
    def axes(self) -> str:
        territories = self.catalog.territories.values()
        return digest({t.id: t.model_dump(mode="json", include={"axes"}) for t in territories})


class Stamps:
    """The stamp of every product, as long as the raw files are those of `raw` (dataset -> digest of its files).

    `datasets`: those that take part in a run; `raw` has every one of the catalogue, for Dagster lists the assets of
    all. `snapshot`: digest of the versioned figures that the profile shows beside its own, None when it shows none.
    """

    def __init__(self, cards: Cards, datasets: Sequence[str], raw: Mapping[str, str], snapshot: str | None) -> None:
        self.cards, self.datasets, self.raw, self.snapshot = cards, datasets, raw, snapshot
        self._known: dict[str, str] = {}

    def of(self, product: str) -> str:
        """See `Workshop.stamp`; the database, which depends on what stands in each territory, has `database`."""
        if product not in self._known:
            stage, _, name = product.partition("/")
            self._known[product] = getattr(self, f"_{stage}")(*([name] if name else []))
        return self._known[product]

    def _raw(self, dataset: str) -> str:
        return self.raw[dataset]

    def _observations(self, dataset: str) -> str:
        used = (dataset, *self.cards.beside[dataset])
        files, cards = [self.raw[name] for name in used], [self.cards.observed[name] for name in used]
        return digest(self.cards.profile, files, cards, code_digest("sources", "catalog"))

    @cached_property
    def _observed(self) -> dict[str, str]:
        return {dataset: self.of(f"observations/{dataset}") for dataset in self.datasets}

    def _reference(self) -> str:
        tables = [stamp for dataset, stamp in self._observed.items() if dataset in self.cards.with_tables]
        return digest(tables, code_digest("geography"))

    def _geography(self) -> str:
        iris = [stamp for dataset, stamp in self._observed.items() if dataset in self.cards.with_iris]
        return digest(self.of("reference"), self.cards.perimeters, iris)

    @cached_property
    def parts(self) -> dict[str, str]:
        """indicator -> digest of all that its rows of the public table depend on; indicators of a part share it."""
        common = digest(self.cards.profile, self.of("geography"), code_digest("indicators", "statistics"))
        return {
            name: digest(
                common,
                # The reference population weighs every figure: its card says which it is.
                [[member, self.cards.computed[member]] for member in (*part.indicators, REFERENCE_POPULATION)],
                [self._observed[dataset] for dataset in part.datasets],
            )
            for name, part in self.cards.parts.items()
        }

    def _values(self) -> str:
        return digest(self.parts, self.snapshot)

    @cached_property
    def _words(self) -> str:
        """What readers are told beside the figures: the cards of indicators and sources, the files that serve."""
        return digest(self.cards.themes, list(self._observed.values()))

    def _rows(self, names: Iterable[str]) -> str:
        """What these indicators show depends on: their rows of the public table, their cards, the population."""
        shown = {name: [self.parts.get(name), self.cards.shown[name]] for name in {*names, REFERENCE_POPULATION}}
        return digest(shown, self.of("geography"), self.snapshot)

    def _maps(self, territory_id: str) -> str:
        territory = self.cards.catalog.territory(territory_id)
        cards = territory.model_dump(mode="json")
        return digest(self._rows(territory.indicator_ids()), cards, code_digest("cartography"))

    def _typology(self) -> str:
        told = [i.id for i in self.cards.catalog.indicators.values() if i.typology]
        return digest(self._rows(told), code_digest("indicators", "statistics"))

    def _patterns(self, territory_id: str) -> str:
        territory, cards = self.cards.catalog.territory(territory_id), self.cards.catalog.indicators
        # Concentrations are looked for over the whole catalogue; what may be smoothed is of the territory's own.
        looked_at = [i.id for i in cards.values() if i.space != "none"]
        smoothed = [name for name in territory.indicator_ids() if cards[name].interval != "none"]
        return digest(
            self.of("typology"),
            self._rows([*looked_at, *smoothed]),
            territory.model_dump(mode="json"),
            code_digest("cartography"),
        )

    def _report(self, territory_id: str) -> str:
        made_of = [self.of("values"), self._words, self.of(f"maps/{territory_id}"), self.of(f"patterns/{territory_id}")]
        return digest(made_of, code_digest("reporting"))

    def database(self, patterns: Iterable[str | None]) -> str:
        """`patterns`: the stamp that those of each territory were last made on."""
        made_of = [self.of("values"), self._words, self.of("typology")]
        return digest(made_of, self.cards.axes, list(patterns), code_digest("products"))

    def _package(self, territory_id: str) -> str:
        return digest(self.of(f"report/{territory_id}"), code_digest("products"))

    def _changes(self, territory_id: str) -> str:
        cards = self.cards.catalog.territory(territory_id).model_dump(mode="json")
        return digest(self.of("values"), self._words, cards, code_digest("changes"))
