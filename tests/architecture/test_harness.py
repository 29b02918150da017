"""Rules for the tests themselves."""

import ast

PATCHERS = {"patch", "patch.object", "mock.patch", "mock.patch.object", "mocker.patch"}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node.args


def test_no_test_sleeps(sources):
    """A test that sleeps is slow when all is well and fails when the machine is busy."""
    found = [
        f"{sources.name(path)}:{line}"
        for path in sources.python("tests")
        for line, name, arguments in calls(sources.tree(path))
        if name in ("time.sleep", "asyncio.sleep")
        and not (arguments and isinstance(arguments[0], ast.Constant) and arguments[0].value == 0)
    ]
    assert not found, "wait for the condition instead"


def test_no_test_patches_our_code(sources):
    """Where a test needs to patch, a port is missing."""
    found = [
        f"{sources.name(path)}:{line} {name}"
        for path in sources.python("tests")
        for line, name, _ in calls(sources.tree(path))
        if name in PATCHERS
    ]
    assert not found


def test_every_test_file_holds_tests(sources):
    empty = [
        sources.name(path)
        for path in sources.python("tests")
        if path.name.startswith("test_")
        and "def test_" not in path.read_text(encoding="utf-8")
        and "TestCase" not in path.read_text(encoding="utf-8")
    ]
    assert not empty
