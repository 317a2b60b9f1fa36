"""Queries to begin with, stored in the product itself (table `examples`) and run by the tests."""

from __future__ import annotations

EXAMPLES = {
    "Les chiffres d’un contrat, thème par thème": """
select theme_title, label, value, unit, period, reliability
from values_latest
where zone_type = 'cls' and zone_code = 'val-de-lorraine'
order by theme_title, label
""",
    "Un indicateur dans les communes d’un contrat, de la plus forte à la plus faible valeur": """
select zone_name, value, ci_low, ci_high, reliability
from values_latest v
join membership m on m.child_type = 'commune' and m.child_code = v.zone_code
where v.zone_type = 'commune' and v.indicator_id = 'ageing_index'
  and m.parent_type = 'cls' and m.parent_code = 'val-de-lorraine'
order by value desc nulls last
""",
    "Deux contrats et la France, côte à côte": """
pivot (
    select label, zone_name, value from values_latest
    where (zone_type = 'cls' and zone_code in ('val-de-lorraine', 'metz')) or zone_type = 'france'
)
on zone_name using any_value(value) order by label
""",
    "Tableau large : une ligne par intercommunalité": """
select zone_name, pop_municipal, ageing_index, vacant_dwelling_share
from zones_wide where zone_type = 'epci' order by pop_municipal desc nulls last
""",
    "Ce qui est masqué, instable ou incomplet, et combien de fois": """
select label, zone_type, reliability, count(*) as zones
from values_latest where reliability not in ('ok', 'snapshot')
group by all order by zones desc
""",
    "D’où vient un chiffre : ses jeux de données et leurs fichiers": """
select distinct v.indicator_id, s.title, s.producer, s.licence, f.vintage, f.address, f.sha256
from values_latest v
cross join unnest(string_split(v.dataset_ids, ',')) as d(dataset_id)
join sources s using (dataset_id)
left join files f using (dataset_id)
where v.indicator_id = 'ageing_index' and v.zone_type = 'france'
""",
    "Les indicateurs de chaque axe d’un contrat qui n’ont pas pu être calculés": """
select a.axis_title, i.label, i.unavailable
from axes a
join indicators i using (indicator_id)
where a.territory_id = 'val-de-lorraine'
  and not exists (from figures f where f.indicator_id = a.indicator_id and f.zone_type = 'cls'
                  and f.zone_code = a.territory_id and f.value is not null)
order by a.axis_order, i.label
""",
    "Quels indicateurs se groupent dans l’espace autour d’un contrat, et pourquoi d’autres sont inconnus": """
select i.label, m.zone_type, m.morans_i, m.p_value, m.reason,
       count(*) filter (c.inside and c.cluster not in ('not_significant', 'not_tested')) as zones_in_a_concentration
from moran m
join indicators i using (indicator_id)
left join concentrations c using (territory_id, indicator_id)
where m.territory_id = 'val-de-lorraine'
group by all order by m.morans_i desc nulls last
""",
    "Ce que veut dire chaque colonne": """
select table_name, column_name, comment from duckdb_columns() where comment is not null order by 1, column_index
""",
}
