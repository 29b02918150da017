"""Rules for the tests themselves."""

import ast

SLEEPS = ("time.sleep", "asyncio.sleep")
PATCHERS = {"patch", "patch.object", "mock.patch", "mock.patch.object", "mocker.patch"}


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node.args


def pauses_between_looks(tree):
    """Lines of short sleeps inside a `while`: a condition is looked at again and again."""
    return {
        line
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While)
        for line, name, arguments in calls(loop)
        if name in SLEEPS
        and arguments
        and isinstance(arguments[0], ast.Constant)
        and arguments[0].value <= 0.1
    }


def test_no_test_sleeps(sources):
    """A test that sleeps is slow when all is well and fails when the machine is busy."""
    found = []
    for path in sources.python("tests"):
        tree = sources.tree(path)
        allowed = pauses_between_looks(tree)
        for line, name, arguments in calls(tree):
            if name not in SLEEPS or line in allowed:
                continue
            if not (
                arguments and isinstance(arguments[0], ast.Constant) and not arguments[0].value
            ):
                found.append(f"{sources.name(path)}:{line}")
    assert not found, "wait for the condition instead"


def test_real_guests_are_run_by_the_tests_of_their_folder_alone(sources):
    """`./test` looks for them nowhere else."""
    found = [
        sources.name(path)
        for path in sources.python("tests")
        if "e2e" not in path.parts
        and any(
            isinstance(node, ast.Attribute) and ast.unparse(node) == "pytest.mark.e2e"
            for node in ast.walk(sources.tree(path))
        )
    ]
    assert not found


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
