import hashlib

import pytest

from dispatcher import access
from dispatcher.access import Denied, Refusal, Role

SUBMIT = "/virtscale.v1.LicenseService/SubmitJobs"
BACKLOG = "/virtscale.v1.FleetService/GetBacklog"
DIGEST = "sha256:" + hashlib.sha256(b"tok").hexdigest()
TOKENS = access.parse_tokens(f"# head\n\ncam submit {DIGEST} until:2030-01-01\n")


def judged(method, authorization, names=(), tokens=TOKENS, now=0.0):
    denied = access.judge(method, authorization, names, tokens, now)
    return None if denied is None else denied.refusal


def test_a_token_opens_what_its_roles_allow():
    assert judged(SUBMIT, "Bearer tok") is None
    assert judged(SUBMIT, "bearer  tok ") is None
    assert judged(BACKLOG, "Bearer tok") is Refusal.MISSING_ROLE


def test_a_token_ends_on_its_day():
    assert judged(SUBMIT, "Bearer tok", now=1893455999.0) is None
    assert judged(SUBMIT, "Bearer tok", now=1893456000.0) is Refusal.EXPIRED_TOKEN


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        (None, Refusal.NO_CREDENTIAL),
        ("", Refusal.MALFORMED_CREDENTIAL),
        ("tok", Refusal.MALFORMED_CREDENTIAL),
        ("Bearer", Refusal.MALFORMED_CREDENTIAL),
        ("Basic tok", Refusal.MALFORMED_CREDENTIAL),
        ("Bearer tok2", Refusal.UNKNOWN_TOKEN),
        (f"Bearer {DIGEST}", Refusal.UNKNOWN_TOKEN),
    ],
)
def test_what_is_no_known_token_is_refused_and_never_quoted(authorization, refusal):
    denied = access.judge(SUBMIT, authorization, (), TOKENS, 0.0)
    assert denied is not None
    assert denied.refusal is refusal
    assert "needs the role submit" in denied.text
    assert "tok2" not in denied.text
    assert DIGEST not in denied.text


def test_a_method_without_a_row_is_for_admins_only():
    assert access.needed("/virtscale.v1.LicenseService/New") == {Role.ADMIN}
    names = ["urn:virtscale:role:admin"]
    assert judged("/virtscale.v1.LicenseService/New", None, names) is None


def test_a_certificate_gives_the_roles_it_names_and_no_others():
    names = ["urn:virtscale:role:fleet", "urn:virtscale:role:king", "fleet", "example.net"]
    assert access.roles_of(names) == {Role.FLEET}
    assert judged(BACKLOG, None, names) is None
    assert judged(SUBMIT, None, names) is Refusal.MISSING_ROLE
    assert judged(SUBMIT, "Bearer tok", names) is None


@pytest.mark.parametrize(
    ("common", "names", "speaks"),
    [
        ("x", ["urn:virtscale:worker:vs-1"], True),
        ("x", ["urn:virtscale:worker:vs-2", "urn:virtscale:worker:vs-1"], True),
        ("vs-1", ["urn:virtscale:worker:vs-2"], False),
        ("vs-1", ["urn:virtscale:client:vs-1"], False),
        ("vs-1", ["urn:virtscale:dispatcher"], False),
        ("vs-1", ["vs-1.example.net"], True),
        ("vs-1", [], True),
        ("", [], False),
        ("vs-11", [], False),
        ("x", ["vs-1"], False),
    ],
)
def test_a_certificate_speaks_for_the_worker_it_names(common, names, speaks):
    assert access.speaks_for("vs-1", common, names) is speaks


def test_a_workers_name_survives_any_character():
    for worker in ("a b/c", "ü:%", "urn:virtscale:worker:vs-1"):
        assert access.speaks_for(worker, "", [access.worker_name(worker)])
        assert not access.speaks_for("vs-1", "", [access.worker_name(worker)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no token"),
        ("cam submit", "line 1: must be <name>"),
        (f"cam submit {DIGEST} a b", "line 1: must be"),
        (f"c@m! submit {DIGEST}", "the name must be"),
        (f"cam king {DIGEST}", "the roles of 'cam' must be of admin, fleet, read, submit"),
        ("cam submit topsecret", "the digest of 'cam' must be sha256:"),
        (f"cam submit {DIGEST} until:tomorrow", "the end of 'cam'"),
        (f"cam submit {DIGEST} until:2030-13-01", "the end of 'cam'"),
        (f"cam submit {DIGEST}\ncam read {DIGEST}", "line 2: the name 'cam' is taken"),
    ],
)
def test_a_fault_in_the_file_names_the_line_and_quotes_no_secret(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        access.parse_tokens(text)
    assert "topsecret" not in str(caught.value)
    assert DIGEST not in str(caught.value)


def test_every_fault_of_a_file_is_told():
    with pytest.raises(ValueError, match=r"line 1.*line 3"):
        access.parse_tokens(f"a\nb read {DIGEST}\nc\n")


def test_calls_at_the_wrong_listener_are_told_where_to_go():
    for method, words in ((SUBMIT, "for workers"), ("/virtscale.v1.WorkerService/Work", "listen_")):
        denied = access.wrong_listener(method)
        assert isinstance(denied, Denied)
        assert words in denied.text
    for method in ("/grpc.health.v1.Health/Check", "/virtscale.v1.LicenseService/None", "/x"):
        assert access.wrong_listener(method) is None
