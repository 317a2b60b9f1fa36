"""One run of the pipeline: which catalogue, which profile, which folders, and what is already up to date.

Assets, notebooks and the command line share this object; it holds no data, only where data lie and what they were
made from. A *stamp* is a digest of everything a product depends on: its inputs' stamps, its cards, its code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from diagnostics.catalog import Catalog, Distribution, Joined, Profile, Source, load_catalog
from diagnostics.errors import DiagnosticError, SourceError
from diagnostics.geography.passage import WORDS
from diagnostics.indicators.parts import Part
from diagnostics.indicators.snapshot import SNAPSHOT
from diagnostics.sources.fetch import RawFile, fetch, manual_path, mirror_folder, raw_folder, raw_name
from diagnostics.sources.published import GLANCE, Published, look
from diagnostics.sources.receipts import Receipt, read_receipt, receipt_path, serves
from diagnostics.sources.refusals import Outcome
from diagnostics.sources.web import Progress, Web
from diagnostics.stamps import Cards, Stamps, digest, file_digest
from diagnostics.storage import Storage, on_disk, read_texts, replacing

PROFILES: tuple[Profile, ...] = ("embedded", "mirror", "official")


@dataclass(frozen=True)
class Workshop:
    """`announce` is told each step that begins, for progress bars; it must not raise. `web` is the client of the
    producers' addresses; one with ordinary patience when None."""

    catalog: Catalog
    profile: Profile = "embedded"
    storage: Storage = field(default_factory=Storage.from_environment)
    announce: Callable[[str], None] = lambda _step: None
    web: Web | None = None

    @classmethod
    def from_environment(cls) -> Workshop:
        """Profile from `DIAGNOSTIC_PROFILE` (embedded unless set), folders from `DIAGNOSTIC_DATA`."""
        profile = os.environ.get("DIAGNOSTIC_PROFILE", "embedded")
        if profile not in PROFILES:
            raise DiagnosticError(
                f"DIAGNOSTIC_PROFILE = « {profile} » : profil inconnu. Profils possibles : {', '.join(PROFILES)}."
            )
        return cls(load_catalog(), profile)

    # --- what the profile uses -------------------------------------------------------------------------------------

    @cached_property
    def offered(self) -> dict[str, Source]:
        """The datasets that have a distribution in this profile."""
        return {s.id: s for s in self.catalog.sources.values() if s.of_profile(self.profile)}

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Those that take part in a run: all of `offered` but the producers' files `on_demand` that nobody brought."""
        free = self.profile != "official"
        return {s.id: s for s in self.offered.values() if free or not s.on_demand or self._brought(s)}

    def _brought(self, source: Source) -> bool:
        return any(self.receipt(source.id, d) for d in source.of_profile(self.profile)) or bool(
            self._dropped(source.id)
        )

    def distributions(self, dataset: str) -> list[Distribution]:
        return self.catalog.sources[dataset].of_profile(self.profile)

    def fetch(
        self, dataset: str, *, renew: bool = True, progress: Progress | None = None
    ) -> list[tuple[Distribution, Outcome]]:
        """Bring every distribution of the profile; a file already there, unchanged, costs nothing.

        In the official profile the producers are asked for newer files, which pass the gates before they serve
        (`renew=False` keeps to what is here), and a file that cannot be had is `absent` with its reason: one producer
        who moved a file must not stop the others. In the other profiles a missing file raises SourceError.
        """
        source = self.catalog.sources[dataset]
        if self.profile != "official":
            return [(d, Outcome("unchanged", fetch(source, d, self.storage), [])) for d in self.distributions(dataset)]
        return [(d, self._bring(source, d, renew, progress)) for d in self.distributions(dataset)]

    def _bring(self, source: Source, distribution: Distribution, renew: bool, progress: Progress | None) -> Outcome:
        # The gates load the readers and the contract: only a run that asks the producers pays.
        from diagnostics.sources.gates import refresh  # noqa: PLC0415
        from diagnostics.sources.history import keep_history  # noqa: PLC0415

        try:
            if not renew and (receipt := self.receipt(source.id, distribution)) is not None:
                outcome = Outcome("unchanged", self._raw(source, distribution, receipt), [])
            else:
                outcome = refresh(source, distribution, self.storage, progress=progress, web=self.web)
        except SourceError as error:
            return Outcome("absent", None, [], str(error))
        if distribution.history is not None:
            keep_history(source, distribution, outcome.raw, self.storage)
        return outcome

    def published(self, dataset: str) -> dict[str, Published]:
        """distribution -> whether the producer gives something else than the file that serves, without a download."""
        source = self.catalog.sources[dataset]
        with nullcontext(self.web) if self.web else Web(GLANCE) as web:
            return {d.id: look(source, d, self.storage, web) for d in self.distributions(dataset)}

    def present(self, dataset: str) -> list[Distribution]:
        """The distributions of the profile whose file is here: all of them, unless the profile is `official`."""
        distributions = self.distributions(dataset)
        if self.profile != "official":
            return distributions
        return [d for d in distributions if self.receipt(dataset, d) is not None]

    def absent(self) -> list[tuple[str, Distribution]]:
        """(dataset, distribution) of the official files that are not here: what they give will be unknown."""
        return [
            (dataset, d)
            for dataset in self.sources
            for d in self.distributions(dataset)
            if d not in self.present(dataset)
        ]

    def receipt(self, dataset: str, distribution: Distribution) -> Receipt | None:
        """The receipt of a distribution whose file is here and unchanged, else None."""
        folder, name = self._place(dataset, distribution)
        receipt = read_receipt(receipt_path(folder, name))
        return receipt if receipt is not None and serves(receipt, folder, distribution) else None

    def _place(self, dataset: str, distribution: Distribution) -> tuple[Path, str]:
        """The folder and the name of a raw file. The cards tell them once; its receipt is looked for very often."""
        key = (dataset, distribution.id)
        if key not in self._places:
            source = self.catalog.sources[dataset]
            self._places[key] = raw_folder(source, distribution, self.storage), raw_name(source, distribution)
        return self._places[key]

    @cached_property
    def _places(self) -> dict[tuple[str, str], tuple[Path, str]]:
        return {}

    def raw_file(self, dataset: str, distribution: Distribution) -> RawFile:
        """The fetched file of a distribution. SourceError when it was never fetched."""
        receipt = self.receipt(dataset, distribution)
        if receipt is None:
            raise SourceError(
                f"{dataset}, distribution « {distribution.id} » : le fichier n'a pas encore été récupéré. "
                f"Matérialiser l'asset « raw/{dataset} », ou lancer `diagnostic run`."
            )
        return self._raw(self.catalog.sources[dataset], distribution, receipt)

    def _raw(self, source: Source, distribution: Distribution, receipt: Receipt) -> RawFile:
        return RawFile(raw_folder(source, distribution, self.storage) / receipt.path, receipt)

    def require_mirror(self) -> None:
        """Raise at once when the profile is `mirror` and its folder is not there."""
        if self.profile == "mirror":
            mirror_folder("Profil `mirror`")

    # --- where products lie ------------------------------------------------------------------------------------------

    def observations_path(self, dataset: str):
        return self.storage.observations / f"{dataset}.parquet"

    def table_path(self, dataset: str, table_name: str):
        return self.storage.processed / "tables" / f"{dataset}.{table_name}.parquet"

    # --- reading back what was made ----------------------------------------------------------------------------------

    def read_table(self, name: str) -> pd.DataFrame:
        """A reference table, by the name it answers to in every profile (`Distribution.table_name`).

        Raises SourceError when its file is not here.
        """
        dataset = self._table_owners.get(name)
        if dataset is None:
            owner = self.catalog.table_owners(self.profile).get(name)
            whose = f"le fichier de « {owner} » n'est pas là" if owner else "aucun jeu de données du profil ne la donne"
            raise SourceError(
                f"Table « {name} », profil « {self.profile} » : {whose}. "
                "`diagnostic sources check` dit pourquoi, et où déposer un fichier à la main."
            )
        return pd.read_parquet(on_disk(self.table_path(dataset, name)))

    def read_tables(self, names: Iterable[str] | None = None) -> dict[str, pd.DataFrame]:
        """The reference tables whose file is here: all of them, or those of `names`."""
        here = self._table_owners
        return {name: self.read_table(name) for name in here if names is None or name in names}

    @property
    def _table_owners(self) -> dict[str, str]:
        return {d.table_name: s for s in self.sources for d in self.present(s) if d.table is not None}

    def joined(self, dataset: str) -> list[Joined]:
        """The facts of a dataset that several tables give together, and whose tables are all here."""
        declared = self.catalog.sources[dataset].joined_of(self.profile)
        here = set(self._table_owners) if declared else set()
        return [joined for joined in declared if here.issuperset(joined.tables)]

    @property
    def observed(self) -> list[str]:
        """The datasets of the profile that give observations."""
        return [
            dataset
            for dataset in self.sources
            if any(d.observations for d in self.present(dataset)) or self.joined(dataset)
        ]

    def read_observations(self, variables: list[str]) -> list[pd.DataFrame]:
        """The observations of these variables, one frame per dataset that has any; text is categorical."""
        wanted, chosen = set(variables), [("variable", "in", variables)]
        frames = [
            pd.read_parquet(on_disk(self.observations_path(dataset)), filters=chosen, read_dictionary=WORDS)
            for dataset in self.observed
            if not wanted.isdisjoint(self.catalog.sources[dataset].variables)
        ]
        return [frame for frame in frames if len(frame)]

    def read_iris_codes(self) -> list[str]:
        """Every IRIS that some dataset of the profile speaks of."""
        codes: set[str] = set()
        for dataset in self._cards.with_iris.intersection(self.observed):
            rows = pd.read_parquet(
                on_disk(self.observations_path(dataset)), columns=["geo_code"], filters=[("geo_type", "==", "iris")]
            )
            codes.update(rows["geo_code"].unique())
        return sorted(codes)

    def read_membership(self) -> pd.DataFrame:
        return pd.read_parquet(on_disk(self.storage.geography / "membership.parquet"))

    def read_zones(self) -> pd.DataFrame:
        return pd.read_parquet(on_disk(self.storage.geography / "zones.parquet"))

    def versions(self) -> dict[str, str]:
        """dataset -> `dataset@vintages#sha8` of the files that serve."""
        texts = {}
        for dataset in self.sources:
            receipts = [self.receipt(dataset, d) for d in self.distributions(dataset)]
            known = [r for r in receipts if r is not None]
            if known:
                vintages = ",".join(sorted({r.vintage for r in known}))
                texts[dataset] = f"{dataset}@{vintages}#{digest([r.sha256 for r in known])[:8]}"
        return texts

    # --- what is up to date ------------------------------------------------------------------------------------------

    def stamp(self, product: str) -> str:
        """Digest of all that `product` depends on. Products: `raw/<dataset>`, `observations/<dataset>`, `reference`,
        `geography`, `values`, `typology`, `database`, `maps/<territory>`, `patterns/<territory>`, `report/<territory>`,
        `package/<territory>`, `changes/<territory>`.
        """
        return self._stamp(product, self._stamps())

    def is_current(self, product: str) -> bool:
        """True when the product was made from exactly what it would be made from now."""
        return not self.stale([product])

    def stale(self, products: Iterable[str]) -> list[str]:
        """Those of these products that are not up to date, the raw files being looked at once."""
        stamps, asked = self._stamps(), list(products)
        recorded = zip(asked, self._recorded(asked), strict=True)
        return [product for product, stamp in recorded if stamp != self._stamp(product, stamps)]

    def record(self, product: str) -> str:
        """Write down that `product` now stands on its present stamp; returns it.

        A product made while something above it was out of date (one asset run alone from the UI) stays out of date.
        One small file per product: runs that make different products at the same moment share nothing. None for a
        dataset of other profiles, of which a job of Dagster's may well hold the assets: nothing was made of it.
        """
        stamp = self.stamp(product)
        stage, _, name = product.partition("/")
        if stage in ("raw", "observations") and not self.distributions(name):
            return stamp
        sound = not self.stale(self._above(product))
        with replacing(self._ledger_entry(product)) as temporary:
            temporary.write_text(stamp if sound else f"incertain : {stamp}", encoding="utf-8")
        return stamp

    def _above(self, product: str) -> list[str]:
        """The recorded products that `product` is made from."""
        stage, _, name = product.partition("/")
        if stage == "observations":
            return [f"raw/{name}", *(f"observations/{dataset}" for dataset in self._cards.beside[name])]
        if stage == "reference":
            return [f"observations/{dataset}" for dataset in self.sources if dataset in self._cards.with_tables]
        if stage == "values":
            used = {dataset for part in self.parts.values() for dataset in part.datasets}
            return ["geography", *(f"observations/{dataset}" for dataset in sorted(used))]
        if stage == "geography":
            named = [dataset for dataset in self.sources if dataset in self._cards.with_iris]
            return ["reference", *(f"observations/{dataset}" for dataset in named)]
        return {
            "typology": ["values"], "database": ["values", "typology"], "maps": ["values"], "changes": ["values"],
            "patterns": ["values", "typology"], "report": ["values", f"maps/{name}", f"patterns/{name}"],
            "package": [f"report/{name}"],
        }.get(stage, [])  # fmt: skip

    def _ledger_entry(self, product: str):
        return self.storage.processed / "stamps" / product

    def _recorded(self, products: Sequence[str]) -> list[str | None]:
        """The stamp that each product was last made on, None when it never was."""
        return read_texts([self._ledger_entry(product) for product in products])

    @property
    def parts(self) -> dict[str, Part]:
        """indicator -> the part of the public table that it is computed with."""
        return self._cards.parts

    def part_stamps(self) -> dict[str, str]:
        """indicator -> digest of all that its rows of the public table depend on; indicators of a part share it."""
        return self._stamps().parts

    def firm_indicators(self) -> set[str]:
        """The indicators whose inputs, as they stand on disk, are all up to date."""
        stale = self.stale(["geography", *(f"observations/{dataset}" for dataset in self.sources)])
        firm = {dataset for dataset in self.sources if f"observations/{dataset}" not in stale}
        if "geography" in stale:
            return set()
        return {name for name, part in self.parts.items() if firm.issuperset(part.datasets)}

    def _stamp(self, product: str, stamps: Stamps) -> str:
        if product != "database":
            return stamps.of(product)
        return stamps.database(self._recorded([f"patterns/{t}" for t in sorted(self.catalog.territories)]))

    def _stamps(self) -> Stamps:
        """The stamps of every product, the raw files being as they are now.

        The files are looked at each time; what is derived from them is kept as long as they are the same.
        """
        raw = {dataset: self._stamp_raw(dataset) for dataset in self.catalog.sources}
        snapshot = file_digest(SNAPSHOT) if self.profile == "embedded" else None
        if not self._derived or (self._derived[0].raw, self._derived[0].snapshot) != (raw, snapshot):
            self._derived[:] = [Stamps(self._cards, list(self.sources), raw, snapshot)]
        return self._derived[0]

    @cached_property
    def _derived(self) -> list[Stamps]:
        """The last stamps derived, at most one."""
        return []

    @cached_property
    def _cards(self) -> Cards:
        return Cards(self.catalog, self.profile)

    def _stamp_raw(self, dataset: str) -> str:
        receipts = [self.receipt(dataset, d) for d in self.distributions(dataset)]
        return digest(
            [receipt.sha256 if receipt else None for receipt in receipts],
            self._dropped(dataset),
            self._months_kept(dataset),
        )

    def _months_kept(self, dataset: str) -> list[str]:
        """The months whose counts join the observations: a month once kept never changes."""
        kept = any(d.history for d in self.distributions(dataset))
        return sorted(f.name for f in (self.storage.raw / dataset / "history").glob("*.parquet")) if kept else []

    def _dropped(self, dataset: str) -> list[int]:
        """When the files that a person dropped were last written: a new drop makes the raw stage stale."""
        source = self.catalog.sources[dataset]
        paths = [manual_path(source, self._place(dataset, d)[1], self.storage) for d in self.distributions(dataset)]
        return [path.stat().st_mtime_ns for path in paths if path.is_file()]
