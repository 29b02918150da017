"""The contracts of .importlinter hold something up: they match real modules and catch real faults.

Whether the code keeps them is `lint-imports`' business, which `./test` runs before the tests.
"""

import ast
import configparser
import os
import shutil
import subprocess
import sys

import pytest

SERVICES = ("collector", "scaler", "dispatcher", "guest_worker", "stack")
_LINT = "from importlinter.cli import lint_imports_command as lint; lint()"
GUEST_MAY_IMPORT = {"guest_worker", "virtscale", "grpc", "google", "argon2"}


@pytest.fixture(scope="module")
def contracts(sources):
    parser = configparser.ConfigParser()
    parser.read(sources.root / ".importlinter")
    return parser


def listed(contracts, contract, key):
    return contracts[f"importlinter:contract:{contract}"][key].split()


def lint(folder):
    return subprocess.run(
        [sys.executable, "-c", _LINT, "--no-cache", "--no-logo"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}:{folder}/proto", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(sources, tmp_path, contracts):
    skipped = shutil.ignore_patterns("__pycache__")
    for package in ("servicekit", "proto", "grafana", *SERVICES):
        shutil.copytree(sources.root / package, tmp_path / package, ignore=skipped)
    shutil.copy(sources.root / ".importlinter", tmp_path)
    return tmp_path


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_pure_modules(contracts, service):
    pure = [name for name in listed(contracts, "pure", "source_modules")]
    assert len([name for name in pure if name.startswith(f"{service}.")]) >= 3


@pytest.mark.parametrize(
    ("module", "line", "caught"),
    [
        ("scaler/planner.py", "import time", "scaler.planner is not allowed to import time"),
        ("scaler/pool.py", "import servicekit.clock", "import servicekit"),
        ("collector/config.py", "import scaler.pool", "collector is not allowed to import scaler"),
        ("servicekit/clock.py", "import dispatcher.jobs", "is not allowed to import dispatcher"),
        ("scaler/api.py", "from virtscale.v1 import job_pb2", "scaler.api -> virtscale.v1.job_pb2"),
        ("scaler/reconciler.py", "import scaler.prometheus_source", "scaler.reconciler is not"),
        ("dispatcher/config.py", "import libvirt", "dispatcher.config -> libvirt"),
        ("grafana/fleet.py", "import scaler.pool", "grafana is not allowed to import scaler"),
    ],
)
def test_a_crossed_line_is_caught(copy, module, line, caught):
    path = copy / module
    path.write_text(path.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    result = lint(copy)
    assert result.returncode != 0
    assert caught in " ".join(result.stdout.split())


def test_a_contract_that_matches_nothing_fails(copy):
    (copy / "scaler" / "planner.py").rename(copy / "scaler" / "planning.py")
    for path in (copy / "scaler").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("planner", "planning"), encoding="utf-8")
    result = lint(copy)
    assert result.returncode != 0
    assert "scaler.planner" in result.stdout + result.stderr


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_guest_worker_imports_nothing_that_its_image_lacks(sources):
    allowed = GUEST_MAY_IMPORT | sys.stdlib_module_names
    found = [
        f"{sources.name(path)}: {name}"
        for path in sources.python("guest_worker")
        for name in imported(sources.tree(path))
        if name.split(".")[0] not in allowed
    ]
    assert not found


def test_only_main_knows_the_adapters(sources, contracts):
    adapters = listed(contracts, "adapters", "modules")
    found = []
    for path in sources.python(*SERVICES):
        module = sources.name(path).removesuffix(".py").replace("/", ".")
        if module.endswith("__main__") or module.startswith(tuple(adapters)):
            continue
        names = set(imported(sources.tree(path)))
        found += [f"{module} imports {name}" for name in names if name in adapters]
    assert not found
