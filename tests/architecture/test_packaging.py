"""One wheel, one fresh environment per service with that service's extra only, and each starts.

A dependency that a service uses without declaring it shows up here and nowhere else.
"""

import json
import re
import subprocess
import sys
import venv
import zipfile

import pytest

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

HOST_SERVICES = ("collector", "scaler", "dispatcher")
NEVER_IN_A_GUEST = ("libvirt", "prometheus_client", "servicekit", "pydantic", "structlog")


def run(*command, cwd):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)


def done(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    hatch = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done(run(*hatch, cwd=sources.root))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def constraints(sources, tmp_path_factory):
    """The locked versions; without hashes, which pip would then demand of the wheel as well."""
    text = (sources.root / "locks" / "dev.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9-]+==[^ \\]+", text, re.M)
    path = tmp_path_factory.mktemp("locks") / "constraints.txt"
    path.write_text("\n".join(pins), encoding="utf-8")
    return path


@pytest.fixture
def install(wheel, constraints, tmp_path):
    def installed(extra):
        home = tmp_path / "venv"
        venv.create(home, with_pip=False)
        requirement = f"virtscale[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python"]
        install = [*pip, "install", "-q", "--disable-pip-version-check", "-c", constraints]
        done(run(*install, requirement, cwd=tmp_path))
        return home / "bin"

    return installed


def test_the_status_page_s_files_are_in_the_wheel(wheel, sources):
    folder = "scaler/status_page/static"
    names = {path.name for path in sources.paths if sources.name(path).startswith(folder)}
    with zipfile.ZipFile(wheel) as opened:
        assert {f"{folder}/{name}" for name in names} <= set(opened.namelist())
    assert len(names) >= 3


@pytest.mark.parametrize("service", HOST_SERVICES)
def test_a_host_service_starts_with_its_extra_only(install, service, tmp_path):
    programs = install(service)
    for command in ([programs / "python", "-m", service], [programs / f"virtscale-{service}"]):
        assert "configuration OK" in done(run(*command, "--check-config", cwd=tmp_path))


def test_the_stack_starts_with_its_extra_only(install, tmp_path):
    programs = install("stack")
    assert "up" in done(run(programs / "virtscale", "--help", cwd=tmp_path))
    for command in ("up", "submit", "image"):
        done(run(programs / "virtscale", command, "--help", cwd=tmp_path))


def test_a_guest_needs_the_base_only(install, tmp_path):
    programs = install("")
    script = "import sys, json, guest_worker.__main__, guest_worker.transport\n"
    script += "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = json.loads(done(run(programs / "python", "-c", script, cwd=tmp_path)))
    assert not set(NEVER_IN_A_GUEST) & set(loaded)
    client = "import virtscale.client as c, pathlib; c.Client, c.AsyncClient\n"
    client += "assert pathlib.Path(c.__file__).with_name('py.typed').exists()"
    done(run(programs / "python", "-c", client, cwd=tmp_path))
    listed = json.loads(
        done(
            run(
                *(sys.executable, "-m", "pip", "--python", programs / "python"),
                *("list", "--format", "json", "--disable-pip-version-check"),
                cwd=tmp_path,
            )
        )
    )
    names = {package["name"] for package in listed}
    assert names == {"virtscale", "grpcio", "protobuf", "typing_extensions"}
