"""One word per thing, and no drawer for odds and ends."""

import ast
import re

JUNK_DRAWERS = {"util", "utils", "common", "helper", "helpers", "misc"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def words_of(identifier):
    return {word.lower() for word in _WORD.findall(identifier)}


def identifiers(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def refused_words(root):
    glossary = (root / "docs" / "GLOSSARY.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^Refused in identifiers: (.+)\.$", glossary, re.M)
    return {word.strip(" `") for word in line.split(",")}


def test_no_file_or_folder_is_a_junk_drawer(sources):
    found = [
        sources.name(path)
        for path in sources.paths
        if JUNK_DRAWERS
        & {part.split(".")[0].lower() for part in path.relative_to(sources.root).parts}
    ]
    assert not found


def test_identifiers_use_the_words_of_the_glossary(sources, packages):
    refused = refused_words(sources.root)
    assert len(refused) > 5
    found = [
        f"{sources.name(path)}:{line} {identifier}"
        for path in sources.python(*packages)
        for line, identifier in identifiers(sources.tree(path))
        if words_of(identifier) & refused
    ]
    assert not found


def test_splits_identifiers_into_words():
    assert words_of("startedVMCount_total") == {"started", "vm", "count", "total"}
