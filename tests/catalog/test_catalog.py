"""The catalogue as delivered: it loads, its perimeters have the known sizes, and it covers the matrix of the domain."""

from __future__ import annotations

import re

import pytest

from diagnostics.catalog.loading import Catalog, load_catalog

SIZES = {
    "val-de-lorraine": 133,
    "coeur-de-lorraine": 123,
    "thionville": 13,
    "metz": 46,
    "echirolles": 1,
    "pont-de-claix": 1,
    "saint-egreve": 1,
}
AXES = {
    "val-de-lorraine": 5,
    "coeur-de-lorraine": 9,
    "thionville": 7,
    "metz": 6,
    "echirolles": 6,
    "pont-de-claix": 6,
    "saint-egreve": 5,
}
FIRST_DIAGNOSTIC = """
    pop_municipal pop_density pop_growth_annual commune_size_median rural_pop_share birth_rate_crude death_rate_crude
    age_share_65plus age_share_75plus age_share_80plus ageing_index old_old_index living_alone_80plus
    one_person_household_share single_parent_household_share income_median_uc poverty_rate_60 unemployment_rate_rp
    social_housing_share household_no_car_share edi_q5_pop_share apl_gp apl_gp_65 apl_gp_retirement_gap
    apl_gp_under25_pop_share apl_nurse apl_dentist apl_midwife pharmacy_density_10k pharmacy_none_pop_share msp_count
    emergency_count nurse_zoning_pop_share radon_class3_pop_share apa_rate_60plus
"""
# The matrix CLS × axes of the domain note (section 9bis), families written with a final star.
MATRIX = {
    "val-de-lorraine": """
        apl_gp apl_gp_65 apl_gp_under25_pop_share apl_gp_retirement_gap apl_nurse apl_physio apl_midwife apl_dentist
        time_to_gp pop_share_gp_over_10min time_to_emergency gp_none_pop_share fdep_score fdep_q5_pop_share
        income_median_uc poverty_rate_60 gp_density_10k msp_count cpts_coverage zoning_zip_pop_share
        ald_without_gp_share household_no_car_share france_services_time psychiatrist_density_100k
        psychologist_density_10k time_to_cmp psychiatric_patho_prevalence selfharm_hosp_rate suicide_mortality_std
        isolation_share psychotropic_treatment_prevalence domestic_violence_rate depressive_episode_prevalence
        screening_* vacc_flu_65plus vacc_hpv_* smoking_daily obesity_prevalence smr_all_cause cnv_std_rate_*
        diabetes_prevalence expected_cases_* sport_facility_density no_diploma_share_15plus ald_prevalence
        csapa_caarud_sites age_share_65plus age_share_75plus age_share_85plus ageing_index old_old_index
        pop75_growth_6y living_alone_80plus caregiver_ratio ehpad_places_* ssiad_places_* residence_autonomie_places_*
        apa_rate_60plus disability_* expected_dependent_60plus aah_household_share poverty_rate_75plus
        senior_isolated_no_car double_vulnerability_pop_share air_pm25_popw water_chem_compliance
        water_micro_compliance radon_class3_pop_share dpe_fg_share catnat_count_10y overcrowded_dwelling_share
        dwelling_pre1971_share commute_active_share heatwave_days
    """,
    "coeur-de-lorraine": """
        living_alone_65plus living_alone_80plus isolation_share one_person_household_share single_parent_family_share
        household_no_car_share rsa_household_share alcohol_risk residence_autonomie_places_*
        pop_out_of_household_share water_* radon_class3_pop_share air_pm25_popw catnat_count_10y dpe_fg_share
        icpe_seveso_sites noise_exposed_share no_diploma_share_15plus france_services_time resources_directory_count
        smr_all_cause fdep_score pop_share_under20 birth_rate_crude apl_midwife pmi_sites school_health_centres
        cmp_cmpp_camsp_sites vacc_hpv_* preterm_birth_share prenatal_interview_share ips_school_mean
        childcare_places_per_100_u3 time_to_maternity specialist_density_100k_pediatre school_bullying screening_*
        vacc_flu_65plus apl_gp apl_gp_65 apl_gp_retirement_gap apl_nurse apl_physio apl_dentist gp_none_pop_share
        time_to_gp time_to_pharmacy msp_count zoning_zip_pop_share gp_share_60plus ald_without_gp_share
        gp_mean_patient_list pharmacy_density_10k specialist_density_100k_* time_to_specialist_* apl_cardiology
        time_to_hospital time_to_imaging sector2_share_specialists mco_beds_per_1000 hospital_stay_rate ageing_index
        age_share_75plus ehpad_places_* ssiad_places_* disability_* apa_rate_60plus expected_dependent_60plus
        caregiver_ratio no_car_and_far_from_gp_pop pt_stop_pop_share commute_out_share road_injury_rate
    """,
    "thionville": """
        apl_gp apl_gp_65 apl_gp_retirement_gap gp_density_10k apl_dentist ald_without_gp_share c2s_share
        zoning_zip_pop_share specialist_density_* time_to_gp sas_population_coverage gp_share_60plus
        psychiatrist_density_100k psychologist_density_10k time_to_cmp selfharm_hosp_rate psychiatric_patho_prevalence
        suicide_mortality_std isolation_share domestic_violence_rate air_no2_popw air_pm25_popw
        pop_share_pm25_over_who pop_share_no2_over_who water_* radon_class3_pop_share icpe_seveso_sites
        noise_exposed_share dpe_fg_share overcrowded_dwelling_share cnv_std_rate_* diabetes_prevalence
        patho_prevalence_* expected_cases_* screening_* smr_all_cause apl_cardiology mortality_std_*
        cancer_incidence_std obesity_prevalence sport_facility_density smoking_daily tobacco_treatment_reimbursed
        mortality_std_tobacco patho_prevalence_resp_chroniques csapa_caarud_sites fdep_score pop_share_15_24 vacc_hpv_*
        poverty_rate_under30 ips_school_mean poverty_rate_60 rsa_household_share fdep_q5_pop_share qpv_pop_share
        cmp_cmpp_camsp_sites aah_household_share
    """,
    "metz": """
        cnv_std_rate_* diabetes_prevalence obesity_prevalence screening_* vacc_* smr_all_cause sport_facility_density
        expected_cases_* smoking_daily life_expectancy_birth psychiatrist_density_100k psychologist_density_10k
        time_to_cmp selfharm_hosp_rate psychiatric_patho_prevalence pop_share_15_24 depressive_episode_prevalence
        poverty_rate_60 fdep_q5_pop_share qpv_pop_share rsa_household_share c2s_share ald_without_gp_share
        income_interdecile single_parent_family_share age_share_75plus air_* water_* food_shop_none_pop_share
        green_space_access dpe_fg_share aed_per_10k aed_free_access_share pop_share_aed_within_500m heat_vulnerable_pop
        living_alone_80plus time_to_emergency heatwave_days catnat_count_10y road_injury_rate apl_gp_65
        apl_gp_retirement_gap gp_share_60plus gp_departures_unreplaced pop_share_emergency_over_30min
        sas_population_coverage specialist_density_* gp_mean_patient_list mco_beds_per_1000
    """,
    "saint-egreve": """
        no_gp_share_17plus ald_without_gp_share gp_departures_unreplaced apl_gp_retirement_gap gp_share_60plus apl_gp
        apl_gp_65 gp_density_10k health_centre_count time_to_gp apl_nurse apl_dentist zoning_zip_pop_share
        domestic_violence_rate psychologist_density_10k time_to_cmp selfharm_hosp_rate school_bullying isolation_share
        air_no2_popw air_pm25_popw pop_share_no2_over_who food_shop_none_pop_share commute_active_share water_*
        ageing_index living_alone_80plus caregiver_ratio ehpad_places_* ssiad_places_* single_parent_family_share
        prenatal_interview_share childcare_places_per_100_u3 birth_rate_crude apl_midwife
    """,
    "echirolles": "income_median_uc poverty_rate_60 qpv_pop_share apl_gp ageing_index",
    "pont-de-claix": "income_median_uc poverty_rate_60 qpv_pop_share apl_gp ageing_index",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.mark.parametrize(("territory", "size"), SIZES.items())
def test_perimeters_have_their_control_sizes(catalog, territory, size):
    assert len(catalog.territories[territory].communes) == size
    assert catalog.territories[territory].cog_year == 2025


def test_only_the_seven_territories_are_delivered(catalog):
    assert set(catalog.territories) == set(SIZES)


@pytest.mark.parametrize(("territory", "count"), AXES.items())
def test_axes_of_each_contract(catalog, territory, count):
    axes = catalog.territories[territory].axes
    assert len(axes) == count
    assert all(axis.indicators for axis in axes), "each axis has at least one core indicator"


@pytest.mark.parametrize("territory", MATRIX)
def test_matrix_of_the_domain_is_covered(catalog, territory):
    ids = catalog.territories[territory].indicator_ids()
    missing = [
        wanted
        for wanted in MATRIX[territory].split()
        if not any(i.startswith(wanted[:-1]) if wanted.endswith("*") else i == wanted for i in ids)
    ]
    assert missing == []


def test_first_diagnostic_is_computable_in_the_mirror(catalog):
    missing = [i for i in FIRST_DIAGNOSTIC.split() if not catalog.is_computable(catalog.indicators[i], "mirror")]
    assert missing == []


def test_embedded_profile_opens_population_ageing_and_housing(catalog):
    computable = {i.id for i in catalog.indicators.values() if catalog.is_computable(i, "embedded")}
    assert {
        "pop_municipal",
        "age_share_65plus",
        "ageing_index",
        "pop_share_under20",
        "vacant_dwelling_share",
    } <= computable


def test_every_indicator_without_a_formula_says_why_in_a_sentence(catalog):
    for indicator in catalog.indicators.values():
        # What only the producers' own files give still says why the other profiles do not know it.
        if indicator.formula is None and set(indicator.formulas) <= {"official"}:
            assert indicator.unavailable.endswith("."), indicator.id
            assert len(indicator.unavailable.split()) > 6, indicator.id
        else:
            assert indicator.unavailable is None, indicator.id


def test_a_share_of_people_is_never_the_sum_of_shares(catalog):
    """A variable that cannot be recombined (`carry: keep`) is shown as published, or read by commune."""
    rules = {name: v.carry for s in catalog.sources.values() for name, v in s.variables.items()}
    wrong = [
        (indicator.id, term.variable)
        for indicator in catalog.indicators.values()
        for formula in filter(None, [indicator.formula, *indicator.formulas.values()])
        for term in formula.terms()
        if rules[term.variable] == "keep" and formula.kind not in ("published", "derived")
    ]
    assert wrong == []


def test_published_figures_have_one_vintage_per_kind_of_zone(catalog):
    """Two vintages of one figure for the same zone would be two answers to one question."""
    zones: dict[tuple[str, str], set[str]] = {}
    for source in catalog.sources.values():
        for distribution in source.of_profile("mirror"):
            for block in distribution.observations:
                for variable in block.values:
                    types = {geo.type for geo in block.geo}
                    zones.setdefault((variable, block.period or "*"), set()).update(types)
    for indicator in catalog.indicators.values():
        formula = indicator.formula_for("mirror")
        if formula is None or formula.kind != "published":
            continue
        seen: list[str] = []
        for term in formula.terms():
            seen += zones.get((term.variable, term.period), zones.get((term.variable, "*"), set()))
        assert len(seen) == len(set(seen)), indicator.id


def test_counts_are_drawn_as_symbols_never_as_choropleths(catalog):
    wrong = [
        i.id
        for i in catalog.indicators.values()
        for formula in filter(None, [i.formula, *i.formulas.values()])
        if formula.kind == "sum" and i.map == "choropleth"
    ]
    assert wrong == []


FRENCH = ("label", "short", "definition", "method_note", "reserve", "unavailable")


def test_french_typography_of_what_a_reader_sees(catalog):
    straight = re.compile(r"(?<=\w)'(?=\w)")
    loose = re.compile(r" [;:!?»%]|« ")
    wrong = []
    for indicator in catalog.indicators.values():
        for name in FRENCH:
            text = getattr(indicator, name) or ""
            if straight.search(text) or loose.search(text):
                wrong.append((indicator.id, name, text))
    assert wrong == []


def test_variables_are_declared_once(catalog):
    owners: dict[str, str] = {}
    for source in catalog.sources.values():
        for name in source.variables:
            assert owners.setdefault(name, source.id) == source.id, name


def test_french_typography_of_territories_and_sources(catalog):
    straight = re.compile(r"(?<=\w)'(?=\w)")
    loose = re.compile(r" [;:!?»%]|« ")
    texts = [
        *(
            (t.id, text)
            for t in catalog.territories.values()
            for text in (t.contract, t.source, *(a.title for a in t.axes))
        ),
        *((s.id, text) for s in catalog.sources.values() for text in (s.title, s.producer, s.citation, s.notes)),
        *((s.id, v.label) for s in catalog.sources.values() for v in s.variables.values()),
    ]
    assert [(where, text) for where, text in texts if straight.search(text) or loose.search(text)] == []


DATED = {"pop75_projection_2040", "pop_projection_2050_dep", "income_median_uc_2023", "qpv_pop_share",
         "diabetes_comparative", "dwelling_pre1971_share"}  # fmt: skip
"""The year is part of what these say (a horizon, a list of quarters, a norm), not the vintage of a file."""


def test_a_definition_names_no_vintage(catalog):
    """The table has `period`: another profile, or the next edition, gives another year."""
    dated = [i.id for i in catalog.indicators.values() if re.search(r"\b(19|20)\d\d\b", i.definition)]
    assert set(dated) <= DATED
