"""The code around a string: does it run the string as SQL, and in which statement is it?"""

import re
from typing import Final

import tree_sitter

from .fragments import CodeContext
from .languages import SourceTree, ancestors

__all__ = ["call_name", "code_context", "statement_start"]

_CALLS: Final = {
    "call",
    "call_expression",
    "new_expression",
    "method_invocation",
    "object_creation_expression",
    "annotation",
    "decorator",
}
_NAMED_BY: Final = ("function", "method", "name", "constructor", "type")
_NAMINGS: Final = {
    "assignment": "left",
    "assignment_expression": "left",
    "augmented_assignment": "left",
    "operator_assignment": "left",
    "variable_declarator": "name",
    "public_field_definition": "name",
    "field_definition": "property",
    "short_var_declaration": "left",
    "const_spec": "name",
    "var_spec": "name",
    "pair": "key",
    "keyed_element": "key",
    "keyword_argument": "name",
    "element_value_pair": "key",
    "default_parameter": "name",
    "typed_default_parameter": "name",
}
_BOUNDARY: Final = re.compile(r"(statement|block|body|function|lambda|class|method|program|module|source_file)$")
_BLOCK: Final = re.compile(r"(block|body|program|module|source_file|statement_list|statements)$")
_LAST_NAME: Final = re.compile(r"([A-Za-z_$][\w$]*[?!]?)\W*$")

_SQL_SINKS: Final = frozenset(
    """
    exec execute executemany executescript execute_sql executesql execute_query execute_values execute_batch
    exec_query exec_params exec_update async_exec async_exec_params execcontext mustexec
    executequery executeupdate executelargeupdate
    query queryrow queryone queryraw executeraw queryrawunsafe executerawunsafe querycontext queryrowcontext queryx
    queryrowx mustquery query_one query_all queryforobject queryforlist queryformap queryforrowset
    prepare preparex preparecontext preparestatement preparecall prepared
    createnativequery createsqlquery nativequery setconnectioninitsql
    runsql sql raw rawsql raw_sql unsafe literal_sql
    fetch fetchrow fetchval fetchall fetchone fetch_all fetch_one fetch_val iterate
    select_all select_one select_value select_values select_rows find_by_sql exec_no_cache
    oneornone manyornone mogrify scalar scalars read_sql read_sql_query
    """.split()  # noqa: SIM905 # words read better
)
"""Functions that run their argument as SQL, in lower case and without a leading ``$``."""
_TEXT_SINKS: Final = re.compile(
    r"(?:debug|info|warn|warning|error|fatal|critical|exception|trace|log|logf|logger|print|printf|println|puts|panic|"
    r"fail|abort|raise|echo|describe|it|test|context|specify|scenario|gettext|ngettext|translate|_|t|i18n|"
    r"add_argument|tobe|toequal|tocontain|tomatch|assert\w*|expect\w*|require|format_error|errorf|infof|warnf|debugf|"
    r"fatalf|\w*(?:error|exception))[?!]?",
    re.IGNORECASE,
)
"""Functions whose argument is text for people."""
_SQL_NAME: Final = re.compile(r"(?:^|_|\b)(?:sql|query|queries|stmts?|statements?|ddl|dml)(?:$|_|\b)", re.IGNORECASE)
_CAMEL_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_RAISES: Final = {"raise_statement", "throw_statement", "assert_statement"}


def statement_start(tree: SourceTree, node: tree_sitter.Node) -> int:
    """The offset of the program's statement that contains a string."""
    for parent, child in ancestors(node):
        if _BLOCK.search(parent.type):
            return tree.offset(child.start_byte)
    return tree.offset(node.start_byte)


def code_context(tree: SourceTree, node: tree_sitter.Node) -> CodeContext:
    """The use of a string, by the nearest known call around it or by the name that it is assigned to."""
    is_named = False
    for parent, child in ancestors(node):
        kind = parent.type
        if kind in _CALLS:
            function = next((f for f in map(parent.child_by_field_name, _NAMED_BY) if f is not None), None)
            if (
                function == child
                or parent.child_by_field_name("receiver") == child
                or parent.child_by_field_name("object") == child
            ):
                continue  # a method of the string itself, such as .format or .strip
            name = call_name(tree, parent)
            lower = name.lower().lstrip("$").rstrip("!?")
            if lower in _SQL_SINKS or (lower == "text" and tree.mentions(b"sqlalchemy")):
                return CodeContext.SQL
            if _TEXT_SINKS.fullmatch(name):
                return CodeContext.TEXT
        elif kind in _RAISES:
            return CodeContext.TEXT
        elif kind in _NAMINGS:
            named = parent.child_by_field_name(_NAMINGS[kind])
            if named == child:
                return CodeContext.UNKNOWN
            if named is not None and not is_named:
                is_named = True
                name = _last_name(tree, named)
                if _SQL_NAME.search(_CAMEL_HUMP.sub("_", name)):
                    return CodeContext.SQL
                if kind == "keyword_argument" and name in ("help", "description", "message", "label", "title"):
                    return CodeContext.TEXT
        elif kind == "expression_statement":
            return CodeContext.TEXT if child.id == node.id else CodeContext.UNKNOWN
        elif _BOUNDARY.search(kind):
            return CodeContext.UNKNOWN
    return CodeContext.UNKNOWN


def call_name(tree: SourceTree, node: tree_sitter.Node) -> str:
    """The last name of the called function: ``execute`` in ``self.cursor.execute(…)``."""
    for field in _NAMED_BY:
        if function := node.child_by_field_name(field):
            return _last_name(tree, function)
    return ""


def _last_name(tree: SourceTree, node: tree_sitter.Node) -> str:
    found = _LAST_NAME.search(tree.text(max(node.start_byte, node.end_byte - 80), node.end_byte))
    return found[1] if found else ""
