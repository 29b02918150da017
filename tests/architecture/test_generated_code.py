"""The committed protobuf code is what the .proto files say."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest


@pytest.fixture(scope="module")
def project(sources):
    return tomllib.loads((sources.root / "pyproject.toml").read_text(encoding="utf-8"))


def floor(requirements, name):
    (found,) = [line for line in requirements if re.match(rf"{name}[><=~!]", line)]
    return re.search(r"[>=]=([\d.]+)", found)[1]


def locked(sources, lock):
    text = (sources.root / "locks" / f"{lock}.lock").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ \\;]+)", text, re.M))


def generated(folder):
    files = folder.glob("virtscale/v1/*_pb2*.py*")
    return {path.relative_to(folder): path.read_text(encoding="utf-8") for path in files}


def test_regenerating_changes_nothing(sources, tmp_path):
    copy = tmp_path / "proto"
    shutil.copytree(sources.root / "proto", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for old in copy.rglob("*_pb2*.py*"):
        old.unlink()
    subprocess.run(
        [copy / "generate"], check=True, env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}
    )
    made, committed = generated(copy), generated(sources.root / "proto")
    assert set(made) == set(committed)
    stale = sorted(str(name) for name in made if made[name] != committed[name])
    assert not stale, "run proto/generate and commit the result"


def test_the_floor_of_grpcio_is_the_generators_version(project):
    base = project["project"]["dependencies"]
    generator = floor(project["dependency-groups"]["lint"], "grpcio-tools")
    assert floor(base, "grpcio") == generator
    for name in ("grpcio-health-checking", "grpcio-reflection"):
        assert floor(project["project"]["optional-dependencies"]["dispatcher"], name) == generator


def test_the_floor_of_protobuf_is_what_the_generated_code_demands(sources, project):
    text = (sources.root / "proto" / "virtscale" / "v1" / "job_pb2.py").read_text()
    demanded = re.search(r"^# Protobuf Python Version: ([\d.]+)$", text, re.M)[1]
    assert floor(project["project"]["dependencies"], "protobuf") == demanded


@pytest.mark.parametrize("lock", ["guest", "stack"])
def test_locks_agree_with_each_other(sources, lock):
    tested = locked(sources, "dev")
    shipped = locked(sources, lock)
    assert shipped
    assert {name: tested.get(name) for name in shipped} == shipped


def test_what_is_measured_is_what_is_shipped(sources):
    measured, shipped = locked(sources, "bench"), locked(sources, "stack")
    shared = set(measured) & set(shipped)
    assert {"apsw", "grpcio", "protobuf", "argon2-cffi"} <= shared
    assert {name: measured[name] for name in shared} == {name: shipped[name] for name in shared}


@pytest.mark.parametrize("lock", ["guest", "stack", "dev", "bench"])
def test_locks_hold_hashes_and_no_addresses(sources, lock):
    text = (sources.root / "locks" / f"{lock}.lock").read_text(encoding="utf-8")
    assert "://" not in text
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)
    assert all("--hash=sha256:" in block for block in blocks if block.strip())
