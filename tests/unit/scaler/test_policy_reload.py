import json

import pytest

from scaler.config import ScalerConfig
from scaler.policy_api import PolicyApi
from scaler.policy_file import effective
from scaler.policy_reload import PolicyReload
from servicekit.config import check
from servicekit.tls import TokenFile
from tests.unit.scaler.requests import call


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text("max: 3\n")
    return path


@pytest.fixture
def reload(path):
    return PolicyReload(check(ScalerConfig, {"policies_file": path}, source="test"))


@pytest.fixture
def told(reload, path):
    told = []
    current = effective(check(ScalerConfig, {"policies_file": path}, source="test"))
    reload.begin(current, lambda config: told.append(config.max), told.append)
    return told


async def test_a_changed_file_is_taken(reload, path, told):
    path.write_text("max: 5\n")
    await reload()
    path.write_text("")
    await reload()
    assert told == [5, True, 4, True]


async def test_a_faulty_file_leaves_the_old_policies(reload, path, told):
    path.write_text("max: many\nmin: -1\n")
    await reload()
    assert told == [False]
    status = reload.status()
    assert len(status["faults"]) == 2
    assert status["effective"]["max"] == 3
    path.write_text("max: 6\n")
    await reload()
    assert told == [False, 6, True]
    assert reload.status()["faults"] == []


async def test_a_signal_before_the_start_is_not_lost(reload, path):
    await reload()
    assert reload.status()["faults"] == []


def test_the_policies_in_effect_are_told_over_http(reload, told):
    answered = []

    def start_response(status, headers, exc_info=None):
        answered.append(status)
        return lambda data: None

    orders = []
    api = PolicyApi(reload.status, lambda: orders.append("reload"))

    def ask(method, path="/api/v1/policies", origin="", address="127.0.0.1"):
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": address}
        body = b"".join(api({**environ, "HTTP_ORIGIN": origin}, start_response))
        return answered[-1][:3], json.loads(body)

    assert ask("GET")[1]["effective"]["max"] == 3
    assert ask("POST")[0] == "405"
    assert ask("GET", "/api/v1/policies/reload")[0] == "405"
    assert ask("GET", "/api/v1/policies/x")[0] == "404"
    order = "/api/v1/policies/reload"
    assert ask("POST", order, address="192.0.2.1")[0] == "403"
    assert ask("POST", order, origin="http://evil.example")[0] == "403"
    assert orders == []
    status, body = ask("POST", order)
    assert (status, body["faults"], orders) == ("200", [], ["reload"])


def test_who_orders_a_reload_shows_the_token(reload, told, tmp_path):
    file = tmp_path / "token"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    file.chmod(0o600)
    orders = []
    api = PolicyApi(reload.status, lambda: orders.append("reload"), token=TokenFile(file))
    order = ("POST", "/api/v1/policies/reload")
    assert call(api, *order)[0] == 401
    assert call(api, *order, HTTP_AUTHORIZATION="Bearer wrong")[0] == 401
    assert orders == []
    assert call(api, *order, HTTP_AUTHORIZATION=f"Bearer {TokenFile(file).read()}")[0] == 200
    assert call(api, "GET", "/api/v1/policies")[0] == 200


def test_without_a_file_there_is_nothing_to_read_again():
    api = PolicyApi(PolicyReload(ScalerConfig()).status, lambda: None)
    answered = []
    environ = {"REQUEST_METHOD": "POST", "REMOTE_ADDR": "::1"}
    body = b"".join(
        api(
            {**environ, "PATH_INFO": "/api/v1/policies/reload"},
            lambda status, headers, exc_info=None: answered.append(status),
        )
    )
    assert answered == ["409 Conflict"]
    assert "no policies_file" in json.loads(body)["error"]
