"""JSON in SQL: what SQLite and PostgreSQL build and take apart by functions of other names."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import TableValuedAlias

from registry_core.stores.sql.compiling import operands


class _Function(FunctionElement[str]):
    """A function of two names; each subclass gives them."""

    inherit_cache = True
    type = Text()
    sqlite: str
    postgresql: str


class object_of(_Function):  # noqa: N801 SQL functions are lower-case in SQLAlchemy
    """Rows of keys and values as one JSON object; PostgreSQL gives NULL for no rows."""

    name = "object_of"
    inherit_cache = True
    sqlite, postgresql = "json_group_object", "json_object_agg"


class tags_of(_Function):  # noqa: N801 as above
    """`tags_of(key, value)`: rows as the tags of an answer, or on PostgreSQL as one JSON object.

    An object for each is dear there, and on SQLite cheaper than to make it of what is read.
    """

    name = "tags_of"
    inherit_cache = True


class array_of(_Function):  # noqa: N801 as above
    """Rows as one JSON array; PostgreSQL gives NULL for no rows."""

    name = "array_of"
    inherit_cache = True
    sqlite, postgresql = "json_group_array", "json_agg"


class texts(_Function):  # noqa: N801 as above
    """Texts of one row as a JSON array.

    PostgreSQL looks up once how to write the elements of an array. Its JSON functions look that up
    for each value, each time that they run.
    """

    name = "texts"
    inherit_cache = True
    sqlite = "json_array"


class document(_Function):  # noqa: N801 as above
    """Numbers and pieces of JSON, none of them NULL, as the text inside of a JSON array.

    SQLite would parse what one of its JSON functions is given by another, and PostgreSQL's take
    longer than what puts texts together.
    """

    name = "document"
    inherit_cache = True


class documents(_Function):  # noqa: N801 as above
    """A `document` and a text of more of them, with `BETWEEN` between; that may be NULL."""

    name = "documents"
    inherit_cache = True


class array_of_arrays(_Function):  # noqa: N801 as above
    """A text of `documents` as a JSON array, in which each is an array; NULL for NULL."""

    name = "array_of_arrays"
    inherit_cache = True


BETWEEN: ColumnElement[str] = literal_column("'],['", Text)
"""What stands between the texts of two documents."""


class _elements(_Function):  # noqa: N801 as above
    name = "elements"
    inherit_cache = True
    sqlite, postgresql = "json_each", "json_array_elements"


class element(FunctionElement[str]):  # noqa: N801 as above
    """A text in a JSON array: `element(array, index)`."""

    name = "element"
    inherit_cache = True
    type = Text()


class _listed(_Function):  # noqa: N801 as above
    name = "listed"
    inherit_cache = True
    sqlite, postgresql = "json_each", "jsonb_array_elements"


def rows_of(array_parameter: ColumnElement[Any]) -> TableValuedAlias:
    """Return a JSON array of arrays as rows of one column, `value`, whose elements are taken.

    PostgreSQL reads `jsonb` once, and the text of `json` again for each element.
    """
    return _listed(array_parameter).table_valued("value", name="element", joins_implicitly=True)


def elements(array_parameter: ColumnElement[Any]) -> TableValuedAlias:
    """Return a JSON array as rows of one column, `value`."""
    return _elements(array_parameter).table_valued("value", name="element", joins_implicitly=True)


@compiles(_Function, "sqlite")
def _sqlite_function(node: _Function, compiler: SQLCompiler, **options: Any) -> str:
    return f"{node.sqlite}({compiler.process(node.clauses, **options)})"


@compiles(_Function, "postgresql")
def _postgresql_function(node: _Function, compiler: SQLCompiler, **options: Any) -> str:
    return f"{node.postgresql}({compiler.process(node.clauses, **options)})"


@compiles(tags_of, "sqlite")
def _sqlite_tags(node: tags_of, compiler: SQLCompiler, **options: Any) -> str:
    key, value = operands(node, compiler, **options)
    return f"json_group_array(json_object('key', {key}, 'value', {value}))"


@compiles(_elements, "postgresql")
def _postgresql_elements(node: _elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(node.clauses, **options)} AS json))"


@compiles(_listed, "postgresql")
def _postgresql_listed(node: _listed, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(node.clauses, **options)} AS jsonb))"


@compiles(tags_of, "postgresql")
def _postgresql_tags(node: tags_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce(json_object_agg({compiler.process(node.clauses, **options)}), '{{}}')"


@compiles(texts, "postgresql")
def _postgresql_texts(node: texts, compiler: SQLCompiler, **options: Any) -> str:
    return f"array_to_json(ARRAY[{compiler.process(node.clauses, **options)}])"


@compiles(document, "sqlite")
def _sqlite_document(node: document, compiler: SQLCompiler, **options: Any) -> str:
    return " || ',' || ".join(operands(node, compiler, **options))


@compiles(document, "postgresql")
def _postgresql_document(node: document, compiler: SQLCompiler, **options: Any) -> str:
    return f"concat_ws(',', {compiler.process(node.clauses, **options)})"


@compiles(documents)
def _documents(node: documents, compiler: SQLCompiler, **options: Any) -> str:
    between = compiler.process(BETWEEN, **options)
    first, *others = operands(node, compiler, **options)
    return " || ".join([first, *(f"coalesce({between} || {other}, '')" for other in others)])


@compiles(array_of_arrays)
def _array_of_arrays(node: array_of_arrays, compiler: SQLCompiler, **options: Any) -> str:
    return f"'[[' || {compiler.process(node.clauses, **options)} || ']]'"


@compiles(element, "sqlite")
def _sqlite_element(node: element, compiler: SQLCompiler, **options: Any) -> str:
    array_text, index = operands(node, compiler, **options)
    return f"json_extract({array_text}, '$[{index}]')"


@compiles(element, "postgresql")
def _postgresql_element(node: element, compiler: SQLCompiler, **options: Any) -> str:
    array_text, index = operands(node, compiler, **options)
    return f"({array_text} ->> {index})"
