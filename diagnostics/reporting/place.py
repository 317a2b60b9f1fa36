"""The territory among its zones: what it is made of, what it is compared with."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Territory
from diagnostics.errors import GeographyError
from diagnostics.indicators.reading import SIMILAR_NAME, SIMILAR_TYPE, Around
from diagnostics.reporting import narrative
from diagnostics.reporting.model import Zone


class Place:
    """The territory among its zones: what it is made of, what it is compared with.

    `similar`: whether the territories of like structure, taken together, are one of its benchmarks.
    """

    def __init__(
        self, territory: Territory, zones: pd.DataFrame, membership: pd.DataFrame, *, similar: bool = False
    ) -> None:
        self.card = territory
        names = zones.assign(tncc=zones.get("tncc"))
        self._names = {
            (t, c): (n, a) for t, c, n, a in names[["zone_type", "zone_code", "zone_name", "tncc"]].to_numpy()
        }
        kind = "commune" if territory.kind == "commune" else "cls"
        self.territory = Zone("cls", territory.id, territory.name, narrative.of(territory.name, kind), "territory")
        of_communes = membership[membership["child_type"] == "commune"]
        mine = of_communes[(of_communes["parent_type"] == "cls") & (of_communes["parent_code"] == territory.id)]
        self.commune_codes = frozenset(mine["child_code"])
        if not self.commune_codes:
            raise GeographyError(
                f"Rapport : le territoire « {territory.name} » n'a aucune commune dans la table d'appartenance "
                "(attendu : parent_type = cls). Recalculer la géographie."
            )
        parents = of_communes[of_communes["child_code"].isin(self.commune_codes)]
        self.parents = {t: sorted(set(codes)) for t, codes in parents.groupby("parent_type")["parent_code"]}
        departements = parents[parents["parent_type"] == "departement"].sort_values("child_code")
        self.departements = {code: tuple(rows) for code, rows in departements.groupby("parent_code")["child_code"]}
        inside = parents.groupby(["parent_type", "parent_code"])["child_code"].nunique()
        around = of_communes[of_communes["parent_type"] == "epci"]
        whole = around.groupby(["parent_type", "parent_code"])["child_code"].nunique()
        entirely = {key for key in inside.index.intersection(whole.index) if inside[key] == whole[key]}
        departement_regions = self._departement_regions(of_communes)
        count = len(self.commune_codes)
        # Zones that are the same set of communes: a figure published for one of them is the territory's own.
        self.same = [self.territory.key, *sorted(key for key in entirely if inside[key] == count)]
        if count == 1:
            self.same += [("commune", code) for code in self.commune_codes]
        members = [
            code for code in self.parents.get("epci", []) if ("epci", code) in entirely and inside["epci", code] < count
        ]
        self.members = tuple(self.zone("epci", code, "member") for code in members)
        self.epci = tuple(self.zone("epci", code, "member") for code in self.parents.get("epci", []))
        larger = [code for code in self.parents.get("epci", []) if ("epci", code) not in entirely]
        above = larger if len(self.epci) == 1 else []  # one intercommunality around: the natural first benchmark
        self.benchmarks = (
            *(self.zone("epci", code, "benchmark") for code in above),
            *(
                replace(self.zone("departement", code, "benchmark"), also_region=code in departement_regions)
                for code in self.parents.get("departement", [])
            ),
            *(
                self.zone("region", code, "benchmark")
                for code in self.parents.get("region", [])
                if code not in departement_regions.values()
            ),
            *([self.similar] if similar else []),
            self.zone("france", "FR", "benchmark"),
        )
        self.communes = tuple(self.zone("commune", code, "commune") for code in sorted(self.commune_codes))
        iris = membership[
            (membership["child_type"] == "iris")
            & (membership["parent_type"] == "commune")
            & membership["parent_code"].isin(self.commune_codes)
        ]["child_code"].unique()
        self.iris = (
            tuple(self.zone("iris", code, "iris") for code in sorted(iris)) if count == 1 and len(iris) > 1 else ()
        )

    def _departement_regions(self, of_communes: pd.DataFrame) -> dict[str, str]:
        """département -> the région that is the same communes, as overseas."""

        def communes(level: str) -> dict[str, frozenset[str]]:
            rows = of_communes[
                (of_communes["parent_type"] == level) & of_communes["parent_code"].isin(self.parents.get(level, []))
            ]
            return {code: frozenset(inside) for code, inside in rows.groupby("parent_code")["child_code"]}

        regions = {inside: code for code, inside in communes("region").items()}
        return {code: regions[inside] for code, inside in communes("departement").items() if inside in regions}

    def name_of(self, zone_type: str, code: str) -> str:
        """The name of any zone of France; its code when it has none."""
        return self._names.get((zone_type, code), (code, None))[0]

    def zone(self, zone_type: str, code: str, role: str) -> Zone:
        # IRIS have no name in most files: the last four digits of their code tell them apart inside a commune.
        unnamed = f"IRIS {code[5:]}" if zone_type == "iris" else code
        name, tncc = self._names.get((zone_type, code), (unnamed, None))
        if zone_type == "france":
            name = "France"
        if zone_type == "epci":
            name = french.short_epci_name(name)  # as on the maps
        return Zone(zone_type, code, name, narrative.of(name, zone_type, tncc if isinstance(tncc, str) else None), role)

    @property
    def around(self) -> Around:
        """What the territory is read against."""
        return Around(
            own=self.same,
            members=[zone.key for zone in self.members],
            benchmarks={zone.key: zone.name for zone in self.benchmarks},
            main=self.main.key,
            departements=self.departements,
            peers=self.peers,
            communes=sorted(self.commune_codes),
        )

    @property
    def similar(self) -> Zone:
        """The territories of like structure, taken together."""
        return Zone(SIMILAR_TYPE, self.card.id, SIMILAR_NAME, "des territoires similaires", "benchmark")

    @property
    def peers(self) -> str:
        """The zones among which the territory is ranked."""
        return "commune" if len(self.commune_codes) == 1 else "epci"

    @property
    def main(self) -> Zone:
        """What findings compare with: the région, or France when the territory spreads over several."""
        regions = [zone for zone in self.benchmarks if zone.is_region]
        return regions[0] if len(regions) == 1 else self.benchmarks[-1]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Zone]:
        """Every zone whose figures the report keeps."""
        listed = (self.territory, *self.iris, *self.communes, *self.epci, *self.benchmarks)
        return {zone.key: zone for zone in listed}


def zone_keys(territory: Territory, zones: pd.DataFrame, membership: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """The (zone_type, zone_code) that `build_report` reads values of, so that a caller loads no other row."""
    return frozenset(Place(territory, zones, membership).by_key)


def zone_order(zone: Zone) -> tuple[int, str]:
    rank = {"territory": 0, "member": 1, "benchmark": 2, "commune": 3, "iris": 4}[zone.role]
    return rank, zone.code
