"""The size gate: what makes code hard to change is not the average function, it is the tail."""

import ast

MAX_FUNCTION_LINES = 70
MAX_MODULE_LINES = 500


def test_no_function_is_longer_than_one_screen(sources):
    too_long = []
    for path in sources.python():
        for node in ast.walk(sources.tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long.append(f"{sources.name(path)}:{node.lineno} {node.name}: {lines}")
    assert not too_long


def test_no_module_outgrows_its_subject(sources):
    too_long = []
    for path in sources.python():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MAX_MODULE_LINES and sources.name(path).split("/")[0] != "tests":
            too_long.append(f"{sources.name(path)}: {lines}")
    assert not too_long
