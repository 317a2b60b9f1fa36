"""What every public column means, in French: said once, for DuckDB comments, data packages and Dagster's pages."""

from __future__ import annotations

VALUES = {
    "indicator_id": "indicateur du catalogue",
    "zone_type": "iris, commune, epci, petr, cls, departement, region ou france",
    "zone_code": "code de la zone (texte)",
    "period": "année ou période que décrit la valeur",
    "numerator": "numérateur, avant multiplication",
    "denominator": "dénominateur",
    "value": "valeur dans l’unité de l’indicateur ; vide si masquée ou incomplète",
    "unit": "unité",
    "ci_low": "borne basse de l’intervalle de confiance à 95 %",
    "ci_high": "borne haute de l’intervalle de confiance à 95 %",
    "method": "formule et méthode d’intervalle, avec leurs réserves",
    "reliability": "ok, unstable, masked, context, modelled, incomplete ou snapshot",
    "coverage": "part de la population dont les données sont connues (0 à 1)",
    "comparison": "better, similar, worse ou not_compared, par rapport à la France",
    "dataset_ids": "jeux de données employés",
    "source_version": "versions des fichiers employés",
    "computed_at": "date du calcul (UTC)",
}

INDICATORS = {
    "indicator_id": "identifiant de l’indicateur",
    "theme": "identifiant du thème",
    "theme_title": "thème",
    "label": "libellé",
    "short": "libellé court",
    "definition": "ce que l’indicateur mesure",
    "unit": "unité des valeurs",
    "decimals": "nombre de décimales à afficher",
    "direction": "higher_is_worse, higher_is_better ou neutral",
    "nature": "observed, modelled ou context",
    "formula": "formule, dans le profil de l’exécution ; vide s’il ne la connaît pas",
    "computable": "vrai si le profil de l’exécution sait le calculer",
    "reserve": "ce qu’il faut savoir avant de l’interpréter",
    "unavailable": "pourquoi il est inconnu, s’il l’est",
}

ZONES = {
    "zone_type": "commune, epci, petr, cls, departement, region ou france",
    "zone_code": "code de la zone (texte)",
    "zone_name": "nom de la zone",
}

MEMBERSHIP = {
    "child_type": "niveau de la zone membre",
    "child_code": "code de la zone membre",
    "parent_type": "niveau de la zone qui la contient",
    "parent_code": "code de la zone qui la contient",
}

SOURCES = {
    "dataset_id": "jeu de données",
    "title": "titre",
    "producer": "producteur",
    "licence": "licence",
    "rhythm": "rythme de publication",
    "homepage": "page du jeu de données",
    "citation": "comment le citer",
    "notes": "ce qu’il faut savoir du jeu",
}

FILES = {
    "dataset_id": "jeu de données",
    "distribution": "fichier du jeu de données",
    "vintage": "millésime",
    "address": "adresse d’où vient le fichier",
    "bytes": "taille en octets",
    "sha256": "empreinte du fichier",
    "fetched_at": "date de récupération (UTC)",
}

AXES = {
    "territory_id": "territoire (code de la zone de type cls)",
    "axis_order": "rang de l’axe",
    "axis_title": "axe, priorité ou objectif du contrat, dans ses propres mots",
    "indicator_id": "indicateur qui l’éclaire",
    "complementary": "vrai si l’indicateur est complémentaire",
}

TYPES = {
    "zone_type": "commune ou epci",
    "zone_code": "code de la zone (texte)",
    "class": "classe de la typologie, de la plus peuplée (1) à la moins peuplée ; vide si une valeur manque",
}

TYPE_CLASSES = {
    "zone_type": "commune ou epci",
    "class": "classe de la typologie",
    "name": "ses traits les plus marqués",
    "description": "ses moyennes, contre celles de toutes les zones",
    "zones": "nombre de zones",
    "population": "habitants",
    "stability": "indice de Rand ajusté moyen sur des tirages de 80 % des zones (1 : toujours les mêmes classes)",
    "stable": "vrai si cet indice atteint 0,6",
    "variance": "part de la variance tenue par les composantes retenues",
    "variables": "nombre d’indicateurs employés",
}

TYPE_PROFILES = {
    "zone_type": "commune ou epci",
    "class": "classe de la typologie",
    "indicator_id": "indicateur employé",
    "period": "période de ses valeurs",
    "mean": "moyenne de la classe, pondérée par la population",
    "overall": "moyenne de toutes les zones, pondérée par la population",
    "gap": "écart de la classe à l’ensemble, en écarts-types des zones",
    "v_test": "valeur-test de cet écart",
}

CONCENTRATIONS = {
    "territory_id": "territoire regardé (code de la zone de type cls)",
    "indicator_id": "indicateur du catalogue",
    "zone_type": "commune ou epci",
    "zone_code": "code de la zone (texte)",
    "inside": "vrai si la zone est du territoire",
    "period": "période des valeurs",
    "standard": "valeur centrée réduite (d’un taux : rendue comparable par le bayésien empirique)",
    "lag": "moyenne des valeurs centrées réduites des voisines",
    "local_i": "indice de Moran local",
    "p_value": "probabilité qu’un tirage de voisines au hasard soit aussi extrême, des deux côtés",
    "p_adjusted": "la même, corrigée pour le nombre de zones (Benjamini-Hochberg)",
    "cluster": "high_high, low_low, high_low, low_high, not_significant ou not_tested (valeur non publiée)",
}

MORAN = {
    "territory_id": "territoire regardé (code de la zone de type cls)",
    "indicator_id": "indicateur du catalogue",
    "zone_type": "niveau regardé ; vide si l’indicateur n’a pu l’être",
    "period": "période des valeurs",
    "morans_i": "indice de Moran de l’ensemble",
    "expected": "ce que le hasard seul donnerait",
    "p_value": "probabilité de s’en écarter autant par hasard (999 permutations)",
    "zones": "zones qui ont une valeur",
    "draws": "tirages des tests locaux",
    "departements": "départements regardés ensemble",
    "reason": "pourquoi l’indicateur n’a pu être regardé",
}

RUN = {
    "profile": "profil de l’exécution : embedded, mirror ou official",
    "computed_at": "date du calcul des indicateurs (UTC)",
    "code_version": "version du code",
    "stamp": "empreinte de tout ce dont dépendent les indicateurs",
}

EXAMPLES = {
    "example": "ce que montre l’exemple",
    "query": "requête SQL, à exécuter telle quelle",
}
