"""The annex of methods: each rule of the report in plain French, as it is applied. Formulas, limits: docs/methods."""

from __future__ import annotations

METHODS = (
    (
        "Comparaison à un repère",
        "Le territoire est dit plus favorable ou plus défavorable qu’un repère quand son intervalle de confiance à "
        "95 % exclut la valeur du repère et que le test reste significatif après correction pour le nombre de tests "
        "(Benjamini-Hochberg, 5 %) ; sinon il est dit comparable. Sont corrigés ensemble tous les tests d’une zone "
        "face à un même repère, quel que soit l’indicateur ; le mot est le même partout dans ce rapport. Le repère "
        "est pris sans erreur et contient parfois le territoire. Dans l’annexe, la colonne « Comparaison brute à la "
        "France » de la feuille Valeurs est la seule qui ne soit pas corrigée.",
    ),
    (
        "Évolution",
        "De la première à la dernière année connue. Parts et taux fondés sur des effectifs : test du khi-deux de "
        "tendance ; pour le recensement, années distantes de cinq ans au moins, car les enquêtes se recouvrent. "
        "Séries publiées de cinq années ou plus : test de Mann-Kendall. Tests corrigés ensemble, comme les "
        "comparaisons. Les autres évolutions sont décrites sans test : mesurées sur tous ou par un modèle, elles ne "
        "doivent rien au hasard d’un échantillon, mais un changement de méthode du producteur peut y ressembler.",
    ),
    (
        "Rang en France",
        "La première place est la plus favorable. Place que le territoire prendrait parmi les zones de sa taille : "
        "intercommunalités, communes de 5 000 habitants ou plus pour un CLS d’une commune, départements pour les "
        "éléments de contexte. Les deux places entre parenthèses sont celles que les intervalles permettent. Sans "
        "intervalle, l’incertitude du rang n’est pas connue. Un rang que l’intervalle laisse presque entièrement "
        "libre n’est pas donné.",
    ),
    (
        "Territoires similaires",
        "Les huit zones les plus proches par la taille, la densité, le vieillissement et le niveau de vie, à poids "
        "égal (logarithmes pour les deux premiers). Un groupement d’intercommunalités n’a pas de niveau de vie "
        "médian : l’indice de défavorisation FDep, dont le revenu est une des quatre composantes, le remplace. Leur "
        "valeur est celle de leur ensemble : effectifs additionnés, puis divisés ; ce qui est publié zone par zone "
        "(médiane, taux de pauvreté) est la valeur du milieu.",
    ),
    (
        "Inégalités à l’intérieur du territoire",
        "Les communes sont rangées en cinquièmes nationaux de défavorisation (FDep), chacun d’un cinquième des "
        "habitants. L’indice de pente est l’écart estimé entre l’extrémité la plus défavorisée et la moins "
        "défavorisée du territoire, l’indice relatif leur rapport ; leurs intervalles viennent de 999 tirages des "
        "communes. Il faut au moins trois cinquièmes présents et cinq communes. Les composantes du FDep (chômage, "
        "ouvriers, diplômes) n’y figurent pas : elles seraient inégales par construction. Un écart entre communes "
        "n’est pas un écart entre personnes.",
    ),
    (
        "Points de vigilance",
        "Trois points quand l’indicateur est plus défavorable que le repère (la région, ou la France), au sens "
        "ci-dessus ; deux points quand, sans intervalle, 80 % des territoires comparables font mieux ; deux points "
        "quand l’évolution est défavorable et testée ; un point quand les communes les plus défavorisées sont "
        "nettement moins bien placées que les autres. Un point est repris, sans descendre sous un, aux valeurs "
        "fragiles, modélisées ou de contexte. Ne sont jamais cités les indicateurs sans sens favorable, masqués ou "
        "incomplets. À égalité de points, le plus grand écart relatif au repère passe devant, puis l’ordre "
        "alphabétique. Ces poids sont un choix, le même pour tous les territoires : ils ignorent la gravité, ce "
        "qu’on peut éviter et ce que veulent les habitants.",
    ),
)
