"""Expressions of a card over the columns of a file: which columns they use, and what to say when one has vanished."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from diagnostics.errors import SourceError
from diagnostics.sources.readers.columns import clean, quoted

#: A string, a quoted identifier, a name followed by `(` (a function), or a bare name.
TOKEN = re.compile(r"""('(?:[^']|'')*')|"((?:[^"]|"")+)"|([^\W\d]\w*)\s*\(|([^\W\d]\w*)""")


@dataclass(frozen=True)
class Expression:
    """`sql` is ready to run; `columns` are the columns of the file it reads, as they stand there."""

    sql: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns of one file, by name. `place` opens every message (dataset and file)."""

    place: str
    types: Mapping[str, str]

    @classmethod
    def of(cls, relation: duckdb.DuckDBPyRelation, place: str) -> Columns:
        return cls(place, {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)})

    def find(self, name: str) -> str | None:
        """The column of that name, whatever its case and spacing."""
        wanted = clean(name)
        if wanted in self.types:
            return wanted
        return next((column for column in self.types if column.casefold() == wanted.casefold()), None)

    def resolve(self, text: str, key: str) -> Expression:
        """`text` is a column name, or an expression whose columns stand in double quotes (plain names may stand bare).

        Raises SourceError when a column is not in the file; `key` says which entry of the card asked for it.
        """
        whole = self.find(text)
        if whole is not None:
            return Expression(quoted(whole), (whole,))
        used: dict[str, None] = {}

        def rewrite(match: re.Match[str]) -> str:
            asked, bare = match[2], match[4]
            if asked is None and bare is None:
                return match[0]
            column = self.find((asked or bare).replace('""', '"'))
            if column is None:
                if asked is not None:
                    raise self.vanished(asked, key)
                return match[0]
            used[column] = None
            return quoted(column)

        return Expression(TOKEN.sub(rewrite, text), tuple(used))

    def bound(self, relation: duckdb.DuckDBPyRelation, text: str, key: str) -> Expression:
        """`resolve`, then make sure that DuckDB understands it over `relation`."""
        expression = self.resolve(text, key)
        try:
            relation.project(f"{expression.sql} AS bound")
        except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
            if not expression.columns and "(" not in text and "'" not in text:
                raise self.vanished(text, key) from error
            told = str(error).splitlines()[0]
            raise SourceError(
                f"{self.place} : l'expression de `{key}` ne se lit pas : « {text} » ({told}). "
                f"Colonnes trouvées : {self.listing()}."
            ) from error
        return expression

    def vanished(self, name: str, key: str) -> SourceError:
        close = difflib.get_close_matches(clean(name), list(self.types), n=3, cutoff=0.5)
        near = f" Les plus proches : {', '.join(f'« {c} »' for c in close)}." if close else ""
        return SourceError(
            f"{self.place} : la colonne « {clean(name)} », attendue par `{key}`, n'est pas dans le fichier.{near} "
            f"Colonnes trouvées ({len(self.types)}) : {self.listing()}. "
            "Si le producteur l'a renommée, corriger la fiche."
        )

    def listing(self, most: int = 60) -> str:
        names: Sequence[str] = list(self.types)
        return ", ".join(names[:most]) + (", …" if len(names) > most else "")
