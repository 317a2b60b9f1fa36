"""Old commune codes carried to the pivot year, by the rule of each variable, with the proof that sums did not move.

Only communes and municipal arrondissements move. A *source* row may feed several pivot communes (a split) and a pivot
commune may be fed by several rows (a merger, or the arrondissements of Paris, Lyon and Marseille). Arrondissements are
kept apart too: who tests places against a threshold tests them one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from diagnostics.errors import GeographyError
from diagnostics.french import listing, number
from diagnostics.geography.reference import Reference, valid_codes
from diagnostics.words import as_words, distinct, stacked

COLUMNS = ["dataset_id", "variable", "geo_type", "geo_code", "cog_year", "period", "value", "status"]
WORDS = ["dataset_id", "variable", "geo_type", "geo_code", "period", "status"]
MOVING = ("commune", "district")
OK, SECRET, MISSING = "ok", "secret", "missing"
SUM_TOLERANCE = 1e-6
DISTRICT_TOLERANCE = 0.01
"""A commune and the total of its arrondissements may differ by rounding, not by more than 1 %."""

# The 101 départements, against collectivities that some files list beside them.
OUTSIDE = ("975", "977", "978", "984", "986", "987", "988", "989")


@dataclass(frozen=True)
class Report:
    """What the passage did. Every frame may be empty.

    sums       dataset_id, variable, period, before, after, withheld, districts, unknown, outside: known values of the
               `sum` variables. before = after + withheld + districts + unknown + outside, where `withheld` is what a
               secret or missing member keeps out of its merger and `districts` what is counted in the commune's row
    unknown    dataset_id, geo_code, rows: codes no geography of France explains; their rows are dropped
    outside    dataset_id, geo_code, rows: communes outside the 101 départements; dropped
    mergers    dataset_id, new_code, members: pivot communes fed by several codes of the file's geography
    absent     dataset_id, new_code, old_code: members of a merger that have no row at all in the file
    splits     dataset_id, old_code, new_code, share: old communes shared out by population
    districts  dataset_id, variable, period, commune, commune_value, districts_value: communes published twice
    undecided  dataset_id, variable, period, new_code: majorities that a missing weight leaves open
    """

    sums: pd.DataFrame
    unknown: pd.DataFrame
    outside: pd.DataFrame
    mergers: pd.DataFrame
    absent: pd.DataFrame
    splits: pd.DataFrame
    districts: pd.DataFrame
    undecided: pd.DataFrame


@dataclass(frozen=True)
class Carried:
    """Observations at the pivot year, and what was done to them.

    `districts`: the municipal arrondissements as their producer gives them, which are in the communes already.
    """

    observations: pd.DataFrame
    report: Report
    districts: pd.DataFrame


@dataclass(frozen=True)
class Passage:
    """The way from any code of any year to the pivot: looked up once, taken by every file.

    rules: how each variable follows its commune:
        `sum`                counts; a secret or missing member makes the merged commune secret or missing
        `mean:<variable>`, `mean`   mean weighted by another variable of the same dataset and period, or by `weights`;
                             all members known
        `majority:<variable>`, `majority`   class holding most of that variable, or of `weights`
        `max`                the highest class, all members known
        `keep`               a median or published rate: missing after a merger or a split
    weights: population by commune code (pivot communes, and old codes when known): shares a split, breaks a majority.
    """

    reference: Reference
    rules: Mapping[str, str]
    weights: pd.Series | None = None
    _families: dict[int, pd.DataFrame] = field(default_factory=dict, repr=False)

    def carry(self, observations: pd.DataFrame) -> Carried:
        """Carry every commune row to the pivot COG; rows of other levels go through untouched.

        observations: the house's columns (`COLUMNS`); `geo_type` commune or district moves. Text may be categorical,
            which is faster and lighter; the result is as what came.
        Errors: GeographyError for a variable without rule, a doubled row, a split without weights, arrondissements
            that contradict their commune, or a sum that moved by more than 1e-6 of itself.
        """
        absent = [column for column in COLUMNS if column not in observations.columns]
        if absent:
            raise GeographyError(
                f"Observations : colonne(s) {listing(absent)} manquante(s) ; attendues : {listing(COLUMNS)}."
            )
        worded = as_words(observations[COLUMNS], WORDS)
        moving = worded["geo_type"].isin(MOVING).to_numpy()
        facts = _index(worded[moving].reset_index(drop=True), self.rules)
        places = _place(facts, self)
        routes, absentees, splits = _route(facts, places, self)
        districts = _published_twice(facts, places)
        feeds = _feed(facts, places, routes, districts)
        pivot, undecided = _combine(facts, feeds, self)
        report = Report(
            sums=_balance(facts, places, feeds, pivot),
            unknown=_dropped(facts, places, "unknown"),
            outside=_dropped(facts, places, "outside"),
            mergers=_mergers(routes),
            absent=absentees,
            splits=splits,
            districts=districts.drop(columns="series"),
            undecided=undecided,
        )
        carried = stacked([_observations(facts, pivot, self), worded[~moving]], WORDS)
        kinds = {name: observations[name].dtype for name in WORDS}
        plain = {name: kind for name, kind in kinds.items() if not isinstance(kind, pd.CategoricalDtype)}
        carried = carried.astype(plain) if plain else carried
        return Carried(carried, report, _districts(facts, places, self))

    # --- what is looked up once ------------------------------------------------------------------------------------

    @cached_property
    def old_codes(self) -> pd.Index:
        """Every code that may be carried: those of the passage table, and the municipal arrondissements."""
        return pd.Index(self._destinations["code"].to_numpy(object))

    @cached_property
    def destinations(self) -> np.ndarray:
        """The pivot commune of each of `old_codes`."""
        return self._destinations["new_code"].to_numpy(object)

    @cached_property
    def _destinations(self) -> pd.DataFrame:
        districts = self.reference.municipal_districts.rename(columns={"commune": "new_code"})
        passage = self.reference.passage.rename(columns={"old_code": "code"})
        return pd.concat([districts, passage]).drop_duplicates("code")

    @cached_property
    def pivot_codes(self) -> pd.Index:
        return pd.Index(self.reference.communes["code"].to_numpy(object))

    @cached_property
    def pivot_words(self) -> pd.CategoricalDtype:
        return pd.CategoricalDtype(self.pivot_codes.astype("str"))

    @cached_property
    def splits(self) -> pd.DataFrame:
        text = ["old_code", "new_code"]
        return self.reference.splits.astype(dict.fromkeys(text, object))

    @cached_property
    def districts(self) -> frozenset[str]:
        return frozenset(self.reference.municipal_districts["code"])

    @cached_property
    def cities(self) -> dict[str, int]:
        """Number of municipal arrondissements of each city that has some."""
        return self.reference.municipal_districts["commune"].value_counts().to_dict()

    def family(self, cog_year: int) -> pd.DataFrame:
        """old_code, new_code: the communes of a year and where each is now, but for the cities with arrondissements."""
        if cog_year not in self._families:
            codes = np.array(sorted(valid_codes(self.reference, cog_year)), dtype=object)
            family = pd.DataFrame({"old_code": codes, "new_code": self.destination(codes)}, dtype=object)
            self._families[cog_year] = family[family["new_code"].notna() & ~family["new_code"].isin(self.cities)]
        return self._families[cog_year]

    def destination(self, codes: np.ndarray) -> np.ndarray:
        """The pivot commune of each code; None when no geography of France explains it."""
        at = self.old_codes.get_indexer(codes)
        return np.where(at >= 0, self.destinations[at], None)


def carry_to_pivot(
    observations: pd.DataFrame,
    reference: Reference,
    rules: Mapping[str, str],
    weights: pd.Series | None = None,
) -> Carried:
    """One file carried to the pivot; see `Passage`."""
    return Passage(reference, rules, weights).carry(observations)


@dataclass(frozen=True)
class _Facts:
    """The moving rows with their repeated text turned into integers, so that the passage works on arrays.

    rows: pair, series, value (NaN unless ok), level (0 ok, 1 missing, 2 secret)
    pairs: dataset_id, cog_year, code: one line per commune of one file
    series: dataset_id, variable, period, rule
    """

    rows: pd.DataFrame
    pairs: pd.DataFrame
    series: pd.DataFrame


@dataclass(frozen=True)
class _Feeds:
    """Rows on their way to a pivot commune (`target`, its position in the reference).

    straight: one whole commune into one commune. mixed: mergers, splits and cities with arrondissements, one line per
    (row, target) with `share` and `expected`. counted: arrondissements already in their commune's own row.
    """

    straight: pd.DataFrame
    mixed: pd.DataFrame
    counted: pd.DataFrame


LEVELS = {OK: 0, MISSING: 1, SECRET: 2}
STATUSES = [OK, MISSING, SECRET]


def _index(rows: pd.DataFrame, rules: Mapping[str, str]) -> _Facts:
    pair, pairs = distinct(rows, ["dataset_id", "cog_year", "geo_code"])
    serial, series = distinct(rows, ["dataset_id", "variable", "period"])
    series["rule"] = series["variable"].map(dict(rules))
    lawless = series.loc[series["rule"].isna(), "variable"].unique()
    if len(lawless):
        raise GeographyError(
            f"Passage au COG pivot : aucune règle pour la variable « {lawless[0]} » ; "
            "déclarer `carry` (sum, mean, majority, max ou keep) dans la fiche de la source."
        )
    strange = sorted({rule for rule in series["rule"] if rule.partition(":")[0] not in COMBINERS})
    if strange:
        raise GeographyError(
            f"Passage au COG pivot : règle « {strange[0]} » inconnue ; attendu : {listing(COMBINERS)}."
        )
    status, statuses = pd.factorize(rows["status"])
    foreign = [name for name in statuses if name not in LEVELS]
    if foreign or (status < 0).any():
        raise GeographyError(
            f"Passage au COG pivot : statut « {foreign[0] if foreign else 'vide'} » inconnu ; "
            f"attendu : {listing(list(LEVELS))}."
        )
    key = serial.astype("int64") * len(pairs) + pair
    doubled = pd.Series(key).duplicated().to_numpy()
    if doubled.any():
        one = rows[doubled].iloc[0]
        raise GeographyError(
            f"{one['dataset_id']} : deux lignes pour la commune {one['geo_code']}, "
            f"variable « {one['variable']} », période {one['period']} ; une seule est attendue."
        )
    value = pd.to_numeric(rows["value"]).to_numpy("float64", na_value=np.nan)
    level = np.array([LEVELS[name] for name in statuses], dtype="int8")[status]
    hollow = (level == 0) & np.isnan(value)
    if hollow.any():
        one = rows[hollow].iloc[0]
        raise GeographyError(
            f"{one['dataset_id']} : la commune {one['geo_code']} a le statut « ok » sans valeur "
            f"pour « {one['variable']} » ; attendu : un nombre, ou le statut « missing » ou « secret »."
        )
    frame = pd.DataFrame({"pair": pair, "series": serial, "value": np.where(level == 0, value, np.nan), "level": level})
    return _Facts(frame, pairs.rename(columns={"geo_code": "code"}), series)


def _place(facts: _Facts, passage: Passage) -> pd.DataFrame:
    """Where each pair goes: `new_code` (None when dropped), and whether it is a district, unknown or outside."""
    code = facts.pairs["code"].to_numpy(object)
    new_code = passage.destination(code)
    outside = facts.pairs["code"].str[:3].isin(OUTSIDE).to_numpy()
    return pd.DataFrame(
        {
            "new_code": pd.Series(np.where(outside, None, new_code), dtype=object),
            "district": pd.Series(code, dtype=object).isin(passage.districts),
            "outside": outside,
            "unknown": pd.isna(new_code) & ~outside,
        }
    )


def _route(facts: _Facts, places: pd.DataFrame, passage: Passage) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Routes (pair, new_code, share, expected, alone), the members without a row, and the splits with their shares.

    `expected` counts the communes of the file's year that make the pivot commune; `alone` marks the route that needs
    no computation: one commune, whole, into one commune.
    """
    pairs = facts.pairs.assign(pair=np.arange(len(facts.pairs)), new_code=places["new_code"])
    pairs["code"] = pairs["code"].astype(object)
    known = pairs[places["new_code"].notna()]
    covering = known.drop(columns="new_code").merge(passage.splits, left_on="code", right_on="old_code")
    covering = covering[covering["cog_year"].between(covering["first_year"], covering["last_year"])]
    covering["new_code"] = passage.destination(covering["new_code"].to_numpy(object))
    covering = covering.drop_duplicates(["pair", "new_code"])
    covering["share"] = _shares(covering, passage.weights)
    whole = known[~known["pair"].isin(covering["pair"])].assign(share=1.0)
    columns = ["pair", "dataset_id", "cog_year", "code", "new_code", "share"]
    routes = pd.concat([whole[columns], covering[columns]], ignore_index=True)
    routes["target"] = passage.pivot_codes.get_indexer(routes["new_code"])

    absent = _absentees(routes, passage)
    family, families = distinct(routes, ["dataset_id", "cog_year", "target"])
    lacking = families.merge(
        absent.groupby(["dataset_id", "cog_year", "target"]).size().rename("absent").reset_index(), how="left"
    )
    routes["expected"] = (np.bincount(family, minlength=len(families)) + lacking["absent"].fillna(0).to_numpy())[family]
    routes["expected"] = routes["expected"].astype(int)
    routes["districts"] = routes["new_code"].map(passage.cities).fillna(0)
    routes["alone"] = (routes["expected"] == 1) & (routes["share"] == 1.0) & (routes["districts"] == 0)
    splits = covering[["dataset_id", "code", "new_code", "share"]].rename(columns={"code": "old_code"})
    return routes, absent[["dataset_id", "new_code", "old_code"]], splits.reset_index(drop=True)


def _shares(covering: pd.DataFrame, weights: pd.Series | None) -> pd.Series:
    """Population share of each part of a split commune; NaN when a population is unknown."""
    if weights is None:
        return pd.Series(np.nan, index=covering.index)
    known = covering["new_code"].map(weights).astype("float64")
    total = known.groupby(covering["pair"]).sum(min_count=1).where(known.notna().groupby(covering["pair"]).all())
    return known / covering["pair"].map(total.where(total > 0))


def _absentees(routes: pd.DataFrame, passage: Passage) -> pd.DataFrame:
    """Communes of the file's own year that should feed a pivot commune present in it, and have no row."""
    found = [pd.DataFrame(columns=["old_code", "new_code", "dataset_id", "cog_year"])]
    if not passage.reference.validity.empty:
        for (dataset, year), part in routes.groupby(["dataset_id", "cog_year"]):
            family = passage.family(int(year))
            present = family["old_code"].isin(part["code"])
            absent = family[~present & family["new_code"].isin(part["new_code"])]
            found.append(absent.assign(dataset_id=dataset, cog_year=year))
    absent = pd.concat(found, ignore_index=True)
    return absent.assign(target=passage.pivot_codes.get_indexer(absent["new_code"]))


def _published_twice(facts: _Facts, places: pd.DataFrame) -> pd.DataFrame:
    """Series where Paris, Lyon or Marseille come both whole and by arrondissements; refused when they disagree."""
    split_cities = places.loc[places["district"], "new_code"].unique()
    of_city = places.index[places["new_code"].isin(split_cities)]
    rows = facts.rows[facts.rows["pair"].isin(of_city)]
    rows = rows.assign(
        target=places["new_code"].to_numpy()[rows["pair"]], district=places["district"].to_numpy()[rows["pair"]]
    )
    totals = rows.groupby(["series", "target", "district"]).agg(value=("value", "sum"), level=("level", "max"))
    totals = totals.unstack("district").dropna() if len(totals) else totals
    columns = ["dataset_id", "variable", "period", "commune", "commune_value", "districts_value", "series"]
    if totals.empty or totals.shape[1] < 4:
        return pd.DataFrame(columns=columns)
    both = totals.reset_index()
    both.columns = ["series", "target", "commune_value", "districts_value", "commune_level", "districts_level"]
    both = both.join(facts.series, on="series").assign(commune=both["target"])
    comparable = (both["rule"] == "sum") & (both["commune_level"] == 0) & (both["districts_level"] == 0)
    both.loc[~comparable, ["commune_value", "districts_value"]] = np.nan
    gap = (both["districts_value"] - both["commune_value"]).abs()
    wrong = both[gap > DISTRICT_TOLERANCE * both["commune_value"].abs().clip(lower=1)]
    if len(wrong):
        one = wrong.iloc[0]
        raise GeographyError(
            f"{one['dataset_id']}, « {one['variable']} » {one['period']} : la commune {one['commune']} vaut "
            f"{number(one['commune_value'], 1)} mais ses arrondissements totalisent "
            f"{number(one['districts_value'], 1)} ; vérifier le fichier ou ses colonnes."
        )
    return both[columns]


def _feed(facts: _Facts, places: pd.DataFrame, routes: pd.DataFrame, districts: pd.DataFrame) -> _Feeds:
    """Sort the rows: those that only change year, those to combine, those already counted in their commune."""
    pair = facts.rows["pair"].to_numpy()
    target_of_pair = np.full(len(facts.pairs), -1)
    alone = routes[routes["alone"]]
    target_of_pair[alone["pair"]] = alone["target"]
    target = target_of_pair[pair]
    straight = target >= 0
    placed = places["new_code"].notna().to_numpy()[pair]
    rows = facts.rows[placed & ~straight]
    rows = rows.assign(row=rows.index, district=places["district"].to_numpy()[rows["pair"]])
    mixed = rows.merge(routes.loc[~routes["alone"], ["pair", "target", "new_code", "share", "expected"]], on="pair")

    twice = pd.MultiIndex.from_frame(districts[["series", "commune"]])
    whole_known = pd.MultiIndex.from_arrays([mixed["series"], mixed["new_code"]]).isin(twice)
    counted = mixed[whole_known & mixed["district"]]
    mixed = mixed[~(whole_known & mixed["district"])]
    # Paris, Lyon and Marseille: either their own row, or all of their arrondissements.
    size = mixed["new_code"].map(routes.loc[routes["districts"] > 0].groupby("new_code")["districts"].first())
    mixed = mixed.assign(expected=np.where(mixed["district"], size, np.where(size.notna(), 1, mixed["expected"])))
    straight_rows = facts.rows[straight].assign(target=target[straight])
    return _Feeds(straight_rows, mixed, counted)


def _combine(facts: _Facts, feeds: _Feeds, passage: Passage) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pivot rows (series, target, value, level), and the majorities left undecided."""
    mixed = feeds.mixed.assign(rule=facts.series["rule"].to_numpy()[feeds.mixed["series"]])
    _require_shares(facts, mixed)
    mixed["weight"] = _weights(facts, mixed, passage.weights)
    done = [feeds.straight[["series", "target", "value", "level"]]]
    undecided = []
    for name, members in mixed.groupby(mixed["rule"].str.split(":").str[0]):
        groups = members.groupby(["series", "target"])
        combined = groups.agg(level=("level", "max"), members=("row", "size"), expected=("expected", "max"))
        if name != "sum":
            combined.loc[(combined["members"] < combined["expected"]) & (combined["level"] == 0), "level"] = 1
        combined["value"] = COMBINERS[name](members, groups).reindex(combined.index)
        if name == "majority":
            undecided.append(combined[(combined["level"] == 0) & combined["value"].isna()].reset_index())
        combined.loc[(combined["level"] == 0) & combined["value"].isna(), "level"] = 1
        combined.loc[combined["level"] != 0, "value"] = np.nan
        done.append(combined.reset_index()[["series", "target", "value", "level"]])
    open_majorities = pd.concat(undecided) if undecided else pd.DataFrame({"series": [], "target": []}, dtype=int)
    named = facts.series.iloc[open_majorities["series"]][["dataset_id", "variable", "period"]].reset_index(drop=True)
    named["new_code"] = passage.pivot_codes.to_numpy()[open_majorities["target"]]
    return pd.concat(done, ignore_index=True), named


def _require_shares(facts: _Facts, mixed: pd.DataFrame) -> None:
    """A count of a split commune cannot be shared out blindly; classes and medians need no share."""
    unknown = mixed[(mixed["rule"] == "sum") & mixed["share"].isna()]
    if len(unknown):
        one = facts.pairs.iloc[unknown["pair"].iloc[0]]
        raise GeographyError(
            f"{one['dataset_id']} (COG {one['cog_year']}) : la commune {one['code']} a été scindée depuis, et la "
            f"population d'une de ses parts ({listing(sorted(unknown['new_code'].unique())[:5])}) est inconnue ; "
            "fournir la population des communes au COG pivot (`weights`)."
        )


def _weights(facts: _Facts, mixed: pd.DataFrame, weights: pd.Series | None) -> np.ndarray:
    """Weight of each member: another variable of the same file and period, or the population, times its share."""
    weight = np.full(len(mixed), np.nan)
    by_population = mixed["rule"].isin(["majority", "mean"]).to_numpy()
    if weights is not None and by_population.any():
        codes = facts.pairs["code"].to_numpy()[mixed.loc[by_population, "pair"]]
        weight[by_population] = pd.Series(codes).map(weights).to_numpy("float64")
    serial = pd.Series(
        np.arange(len(facts.series)), index=pd.MultiIndex.from_frame(facts.series[["dataset_id", "variable", "period"]])
    )
    for series in mixed.loc[mixed["rule"].str.contains(":"), "series"].unique():
        one = facts.series.iloc[series]
        name = (one["dataset_id"], one["rule"].partition(":")[2], one["period"])
        if name not in serial.index:
            raise GeographyError(
                f"{one['dataset_id']} : « {one['variable']} » se pondère par « {name[1]} », absente du jeu "
                f"pour la période {one['period']} ; corriger `carry` dans la fiche de la source."
            )
        rows = facts.rows[facts.rows["series"] == serial[name]]
        here = (mixed["series"] == series).to_numpy()
        weight[here] = mixed.loc[here, "pair"].map(rows.set_index("pair")["value"]).to_numpy()
    return weight * mixed["share"].to_numpy()


def _sum(members: pd.DataFrame, groups) -> pd.Series:
    return (members["value"] * members["share"]).groupby([members["series"], members["target"]]).sum(min_count=1)


def _mean(members: pd.DataFrame, groups) -> pd.Series:
    """A single member keeps its value: no weight is needed to copy it."""
    keys = [members["series"], members["target"]]
    total = members["weight"].groupby(keys).sum(min_count=1).where(groups["weight"].count() == groups["row"].size())
    mean = (members["value"] * members["weight"]).groupby(keys).sum(min_count=1) / total.where(total > 0)
    return mean.where(groups["row"].size() > 1, groups["value"].first())


def _majority(members: pd.DataFrame, groups) -> pd.Series:
    """Class with the largest weight; the higher class on a tie. Agreeing members need no weight."""
    keys = ["series", "target"]
    classes = members.groupby([*keys, "value"])["weight"].sum(min_count=1).reset_index()
    top = classes.sort_values([*keys, "weight", "value"]).drop_duplicates(keys, keep="last").set_index(keys)["value"]
    top = top.where((groups["weight"].count() == groups["row"].size()).reindex(top.index))
    low, high = groups["value"].min(), groups["value"].max()
    return top.reindex(low.index).where(low != high, low)


def _max(members: pd.DataFrame, groups) -> pd.Series:
    return groups["value"].max()


def _keep(members: pd.DataFrame, groups) -> pd.Series:
    """Only a commune that is neither merged nor split keeps its median."""
    untouched = (groups["row"].size() == 1) & (groups["expected"].max() == 1) & (groups["share"].min() == 1)
    return groups["value"].first().where(untouched)


COMBINERS = {"sum": _sum, "mean": _mean, "majority": _majority, "max": _max, "keep": _keep}


def _balance(facts: _Facts, places: pd.DataFrame, feeds: _Feeds, pivot: pd.DataFrame) -> pd.DataFrame:
    """The account of every `sum` series; GeographyError when it does not balance."""
    n = len(facts.series)
    counted = facts.series["rule"] == "sum"
    rows = facts.rows
    value = rows["value"].fillna(0.0).to_numpy()

    def total(series: pd.Series, values: np.ndarray) -> np.ndarray:
        return np.bincount(series, weights=values, minlength=n)

    hollow = pivot.loc[pivot["level"] != 0, ["series", "target"]]
    lost = feeds.mixed.merge(hollow, on=["series", "target"])
    sums = facts.series.assign(
        before=total(rows["series"], value),
        after=total(pivot["series"], pivot["value"].fillna(0.0).to_numpy()),
        withheld=total(lost["series"], (lost["value"] * lost["share"]).fillna(0.0).to_numpy()),
        districts=total(feeds.counted["series"], feeds.counted["value"].fillna(0.0).to_numpy()),
        unknown=total(rows["series"], np.where(places["unknown"].to_numpy()[rows["pair"]], value, 0.0)),
        outside=total(rows["series"], np.where(places["outside"].to_numpy()[rows["pair"]], value, 0.0)),
    )[counted]
    gap = (sums["before"] - sums[["after", "withheld", "districts", "unknown", "outside"]].sum(axis=1)).abs()
    scale = pd.Series(total(rows["series"], np.abs(value)), index=facts.series.index)[counted]
    wrong = sums[gap > SUM_TOLERANCE * scale]
    if len(wrong):
        one = wrong.iloc[0]
        raise GeographyError(
            f"{one['dataset_id']}, « {one['variable']} » {one['period']} : le passage au COG pivot a déplacé la somme, "
            f"{number(one['before'], 1)} avant, {number(one['after'], 1)} après ; signaler ce défaut."
        )
    return sums.drop(columns="rule").reset_index(drop=True)


def _observations(facts: _Facts, pivot: pd.DataFrame, passage: Passage) -> pd.DataFrame:
    codes = pd.Categorical.from_codes(pivot["target"].to_numpy(), dtype=passage.pivot_words)
    return _named(facts, pivot, "commune", codes, passage)


def _districts(facts: _Facts, places: pd.DataFrame, passage: Passage) -> pd.DataFrame:
    """The municipal arrondissements, as their producer gives them."""
    rows = facts.rows[places["district"].to_numpy()[facts.rows["pair"]]]
    codes = pd.Categorical(facts.pairs["code"].astype("str").to_numpy()[rows["pair"]])
    return _named(facts, rows, "district", codes, passage)


def _named(facts: _Facts, rows: pd.DataFrame, kind: str, codes: pd.Categorical, passage: Passage) -> pd.DataFrame:
    """`rows` (series, value, level) of the zones `codes` under the columns of the house."""
    series, level = rows["series"].to_numpy(), rows["level"].to_numpy()

    def named(column: str) -> pd.Categorical:
        ids, words = pd.factorize(facts.series[column])
        return pd.Categorical.from_codes(ids[series], words)

    return pd.DataFrame(
        {
            "dataset_id": named("dataset_id"),
            "variable": named("variable"),
            "geo_type": pd.Categorical.from_codes(np.zeros(len(rows), dtype="int8"), [kind]),
            "geo_code": codes,
            "cog_year": pd.array(np.full(len(rows), passage.reference.pivot_year), dtype="Int64"),
            "period": named("period"),
            "value": rows["value"].to_numpy(),
            "status": pd.Categorical.from_codes(level, STATUSES),
        }
    )


def _dropped(facts: _Facts, places: pd.DataFrame, why: str) -> pd.DataFrame:
    rows = np.bincount(facts.rows["pair"], minlength=len(facts.pairs))
    return facts.pairs[["dataset_id", "code"]].assign(rows=rows).rename(columns={"code": "geo_code"})[places[why]]


def _mergers(routes: pd.DataFrame) -> pd.DataFrame:
    members = routes[routes["expected"] > 1].groupby(["dataset_id", "new_code"])["expected"].max()
    return members.rename("members").reset_index()
