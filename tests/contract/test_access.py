"""Who may do what: roles of tokens and certificates, and the guests' identity, over real TLS."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from virtscale.client import ONCE, AsyncClient, DispatcherError
from virtscale.v1 import job_pb2, license_pb2, worker_pb2

from dispatcher import hashing
from scaler.dispatcher_fleet import DispatcherFleet
from scaler.ports import FleetError
from servicekit.tls import TokenFile
from stack import access_tokens, certificates
from tests.contract import secured_dispatcher
from tests.contract.dispatcher_process import JOIN_KEY, LEGACY, PATIENCE, ScriptedWorker, until
from tests.contract.secured_dispatcher import (
    ROLES,
    SecuredDispatcher,
    credentials,
    header,
    methods,
    outcome,
    site_in,
    worker_pair,
)

SUBMIT = {"SubmitJobs", "StreamJobs", "CancelJobs"}
READ = {"GetJob", "WaitJobs", "ListJobs", "WatchResults", "VerifyLicense"}
LOOK = {"ListWorkers", "GetBacklog"}
FLEET = {"CordonWorker", "UncordonWorker", "DrainWorker"}
ALLOWED = {
    "submit": SUBMIT,
    "read": READ | LOOK,
    "fleet": FLEET | LOOK,
    "admin": SUBMIT | READ | LOOK | FLEET,
}
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
NUMBER = "KA-47-UT-9173"


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[SecuredDispatcher]:
    (tmp_path / "d").mkdir()
    made = SecuredDispatcher(tmp_path / "d", site_in(tmp_path / "tls"))
    made.start()
    yield made
    await made.close()


def test_the_table_names_every_method_once() -> None:
    names = [method.rpartition("/")[2] for method in methods("LicenseService", "FleetService")]
    assert sorted(names) == sorted(SUBMIT | READ | LOOK | FLEET)


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_opens_its_methods_and_no_other(
    dispatcher: SecuredDispatcher, role: str
) -> None:
    for method in methods("LicenseService", "FleetService"):
        code, text = await outcome(dispatcher.channel, method, dispatcher.token(role))
        if method.rpartition("/")[2] in ALLOWED[role]:
            assert code not in REFUSED, f"{role} {method}: {code} {text}"
        else:
            assert code is grpc.StatusCode.PERMISSION_DENIED, f"{role} {method}: {code} {text}"
            assert "needs the role" in text
            assert f"'{role}' has {role}" in text


async def test_without_a_known_token_nothing_is_open(dispatcher: SecuredDispatcher) -> None:
    token = dispatcher.token("admin")
    for method in methods("LicenseService", "FleetService"):
        for shown, words in ((None, "authorization: Bearer"), (token[:-1] + "!", "none of this")):
            code, text = await outcome(dispatcher.channel, method, shown)
            assert code is grpc.StatusCode.UNAUTHENTICATED, f"{method}: {code} {text}"
            assert words in text
            assert shown is None or shown not in text
    metrics = await asyncio.to_thread(dispatcher.metrics)
    count = len(methods("LicenseService", "FleetService"))
    for kind in ("no_credential", "unknown_token"):
        assert f'access_refused_total{{kind="{kind}"}} {count}.0' in metrics
    refused = [line for line in dispatcher.logged().splitlines() if "call.refused" in line]
    # One line of each kind in ten seconds, however many calls.
    assert 2 <= len(refused) < count
    assert token[:-1] not in dispatcher.logged()


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "vst_something", "Bearer a b"]
)
async def test_a_header_of_another_form_is_refused(
    dispatcher: SecuredDispatcher, value: str
) -> None:
    call = dispatcher.channel.unary_unary("/virtscale.v1.FleetService/GetBacklog")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"", metadata=(("authorization", value),), timeout=PATIENCE)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_services_own_clients_show_their_tokens(dispatcher: SecuredDispatcher) -> None:
    site = dispatcher.site
    fleet = DispatcherFleet(dispatcher.address, token=TokenFile(site.token("fleet")))
    assert await fleet.workers() == ()
    await fleet.close()
    wrong = DispatcherFleet(dispatcher.address, token=TokenFile(site.token("submit")))
    with pytest.raises(FleetError, match=r"PERMISSION_DENIED.*role read or fleet"):
        await wrong.workers()
    await wrong.close()
    read = TokenFile(site.token("read")).read
    async with AsyncClient(dispatcher.address, token=read, retry=ONCE) as client:
        assert (await client.backlog()).accepted == 0
        with pytest.raises(DispatcherError, match="needs the role submit"):
            await client.submit([NUMBER])


async def test_health_and_reflection_are_open(dispatcher: SecuredDispatcher) -> None:
    health = dispatcher.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert await health(b"", timeout=PATIENCE) == b"\x08\x01"


async def test_a_worker_can_neither_submit_nor_read_nor_administrate(
    dispatcher: SecuredDispatcher,
) -> None:
    """With its certificate on its own port, and without one on the clients'."""
    shown = credentials(dispatcher.site, worker_pair(dispatcher.site, "vs-1"))
    async with grpc.aio.secure_channel(dispatcher.worker_address, shown) as channel:
        for method in methods("LicenseService", "FleetService"):
            code, text = await outcome(channel, method, dispatcher.token("admin"))
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert "this port is for workers" in text
    (work,) = methods("WorkerService")
    code, text = await outcome(dispatcher.channel, work)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "listen_workers" in text


async def end_of(worker: ScriptedWorker, token: str | None = "") -> tuple[grpc.StatusCode, str]:
    """How a worker's stream ends that should not have been opened."""
    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError, AttributeError)):
        await worker.connect(token=token)
        raise AssertionError(f"the worker was let in: {worker.welcome}")
    found = await worker.status()
    await worker.cut()
    return found


async def test_a_certificate_is_enough_and_a_wrong_join_token_beside_it_is_not(
    dispatcher: SecuredDispatcher,
) -> None:
    worker = await dispatcher.worker("vs-1").connect(token="")
    assert worker.welcome is not None
    assert worker.welcome.session_id
    await worker.cut()
    other = hashing.join_token(JOIN_KEY, "vs-2")
    code, text = await end_of(dispatcher.worker("vs-1"), other)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert other not in text + dispatcher.logged()
    await (await dispatcher.worker("vs-1").connect()).cut()


async def test_no_guest_speaks_for_another(dispatcher: SecuredDispatcher) -> None:
    site = dispatcher.site
    own = worker_pair(site, "vs-1")
    client = secured_dispatcher.issue(
        site, "client", "vs-2", certificates.client_names("vs-2", ["admin"])
    )
    for pair in (own, client):
        for token in ("", None):  # with the right join token of the other one, too
            code, text = await end_of(dispatcher.worker("vs-2", pair=pair), token)
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert "urn:virtscale:worker:vs-2" in text
    metrics = await asyncio.to_thread(dispatcher.metrics)
    assert 'access_refused_total{kind="foreign_certificate"} 4.0' in metrics
    assert "virtscale_worker_slots{" not in metrics


async def test_only_certificates_of_the_authority_get_in(
    dispatcher: SecuredDispatcher, tmp_path: Path
) -> None:
    site = dispatcher.site
    foreign = site_in(tmp_path / "foreign")
    strangers = {
        "another authority's": worker_pair(foreign, "vs-1"),
        "self-signed": foreign.ca,
        "expired": secured_dispatcher.issue_expired(site, "vs-1"),
        "a server's, which is no client": site.pair("server"),
    }
    for what, pair in strangers.items():
        code, text = await end_of(dispatcher.worker("vs-1", pair=pair), None)
        assert code is grpc.StatusCode.UNAVAILABLE, f"{what}: {code} {text}"
    nobody = ScriptedWorker(dispatcher.worker_address, "vs-1", credentials=credentials(site))
    code, _ = await end_of(nobody, None)
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_plain_text_and_tls_do_not_meet(dispatcher: SecuredDispatcher) -> None:
    async with grpc.aio.insecure_channel(dispatcher.worker_address) as channel:
        # No stream: grpcio cancels one itself when its end meets the refused connection.
        code, _ = await outcome(channel, "/virtscale.v1.FleetService/GetBacklog")
        assert code is grpc.StatusCode.UNAVAILABLE
    shown = credentials(dispatcher.site)
    async with grpc.aio.secure_channel(dispatcher.address, shown) as channel:
        code, text = await outcome(channel, "/virtscale.v1.FleetService/GetBacklog")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "WRONG_VERSION_NUMBER" in text


async def submitted(dispatcher: SecuredDispatcher, *numbers: str) -> list[str]:
    """Job ids of a batch, submitted with the role for it."""
    request = license_pb2.SubmitJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number=each) for each in numbers]
    )
    answer = await dispatcher.licenses.SubmitJobs(
        request, metadata=header(dispatcher.token("submit")), timeout=PATIENCE
    )
    return list(answer.job_ids)


async def job(dispatcher: SecuredDispatcher, job_id: str) -> job_pb2.Job:
    answer = await dispatcher.licenses.GetJob(
        license_pb2.GetJobRequest(job_id=job_id),
        metadata=header(dispatcher.token("read")),
        timeout=PATIENCE,
    )
    return answer.job  # type: ignore[no-any-return]


def key_of(job_id: str) -> int:
    return int(job_id.rpartition("-")[2])


async def test_what_a_guest_says_about_anothers_jobs_changes_nothing(
    dispatcher: SecuredDispatcher,
) -> None:
    """The thief knows job and epoch, says that it holds them, and sends a well-formed result."""
    victim = await dispatcher.worker("vs-1").connect()
    thief = await dispatcher.worker("vs-2").connect()
    await victim.credit(1)
    held_id, ready_id = await submitted(dispatcher, NUMBER, "MH-12-AB-0001")
    assignment = await victim.take()
    assert assignment.lease.key == key_of(held_id)
    forged = "0" * 64 + ":" + "0" * 32
    ready = worker_pb2.Lease(key=key_of(ready_id), epoch=assignment.lease.epoch)
    targets = [
        worker_pb2.Lease(key=key_of(held_id), epoch=epoch)
        for epoch in range(assignment.lease.epoch - 1, assignment.lease.epoch + 2)
    ]
    targets.append(ready)
    await thief.send(heartbeat=worker_pb2.Heartbeat(held=targets, busy_slots=1))
    for lease in targets:
        await thief.answer(worker_pb2.Assignment(lease=lease), digest=forged)
        refusal = worker_pb2.Refusal(retryable=False, message="no")
        await thief.send(
            results=worker_pb2.Results(outcomes=[worker_pb2.Outcome(lease=lease, refusal=refusal)])
        )
    # Acknowledged, so that an honest worker with a stale result forgets it; but not taken.
    await thief.acknowledged(worker_pb2.Assignment(lease=ready))
    assert (await job(dispatcher, held_id)).state == job_pb2.JOB_STATE_LEASED
    assert (await job(dispatcher, ready_id)).state == job_pb2.JOB_STATE_READY
    assert not victim.revoked
    assert thief.assignments.empty()
    # Neither does it help to come back and say that one has held them all along.
    await thief.cut()
    thief = await dispatcher.worker("vs-2").connect(held=targets)
    assert thief.welcome is not None
    assert not thief.welcome.kept
    await victim.answer(assignment)
    await victim.acknowledged(assignment)
    stored = await job(dispatcher, held_id)
    assert stored.result.hash != forged
    assert stored.result.worker_id == "vs-1"
    await victim.cut()
    await thief.cut()


async def test_a_second_stream_of_the_same_identity_fences_the_first(
    dispatcher: SecuredDispatcher,
) -> None:
    pair = worker_pair(dispatcher.site, "vs-1")
    first = await dispatcher.worker("vs-1", pair=pair).connect()
    second = await dispatcher.worker("vs-1", pair=pair).connect()
    await first.was_told("end")
    code, _ = await first.status()
    assert code is grpc.StatusCode.ABORTED
    await second.cut()
    await first.cut()


async def test_a_client_certificate_gives_the_roles_it_names(tmp_path: Path) -> None:
    site = site_in(tmp_path / "tls")
    (tmp_path / "d").mkdir()
    server = site.pair("server")
    tls = {
        "certificate": str(server.certificate),
        "key": str(server.key),
        "client_ca": str(site.ca.certificate),
    }
    dispatcher = SecuredDispatcher(tmp_path / "d", site, tls=tls)
    dispatcher.start()
    backlog, submit = methods("FleetService")[-1], methods("LicenseService")[0]
    try:
        for names, code in (
            (certificates.client_names("scaler", ["fleet"]), grpc.StatusCode.OK),
            (certificates.worker_names("vs-1"), grpc.StatusCode.UNAUTHENTICATED),
        ):
            pair = secured_dispatcher.issue(site, "client", "c", names)
            address, shown = f"localhost:{dispatcher.port}", credentials(site, pair)
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.secure_channel(address, shown, options=options) as channel:
                assert (await outcome(channel, backlog))[0] is code
                assert (await outcome(channel, submit))[0] in REFUSED
                found, text = await outcome(channel, submit, dispatcher.token("submit"))
                assert found not in REFUSED, text
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(address, credentials(site), options=options) as channel:
            found, _ = await outcome(channel, backlog, dispatcher.token("admin"))
            assert found is grpc.StatusCode.UNAVAILABLE
    finally:
        await dispatcher.close()


async def test_certificates_and_tokens_rotate_under_a_running_stream(
    dispatcher: SecuredDispatcher,
) -> None:
    site = dispatcher.site
    worker = await dispatcher.worker("vs-1").connect()
    server = site.pair("server")
    before = server.certificate.read_bytes()

    async def counted(outcome: str, setting: str) -> bool:
        line = f'reloads_total{{outcome="{outcome}",setting="{setting}"}} 1.0'
        return line in await asyncio.to_thread(dispatcher.metrics)

    server.certificate.write_text("nonsense")
    await until(lambda: counted("failed", "worker_tls"))
    assert "credentials.refused" in dispatcher.logged()
    other = await dispatcher.worker("vs-2").connect()
    server.certificate.write_bytes(before)
    await until(lambda: counted("done", "worker_tls"))
    # A new authority altogether: who comes with an old certificate is not let in any more.
    old = credentials(site, worker_pair(site, "vs-3"))
    site.make_ca("second", time.time())
    secured_dispatcher.issue(site, "server", "dispatcher", certificates.server_names([]))

    async def is_rotated() -> bool:
        line = 'reloads_total{outcome="done",setting="worker_tls"} 2.0'
        return line in await asyncio.to_thread(dispatcher.metrics)

    await until(is_rotated)
    stranger = ScriptedWorker(dispatcher.worker_address, "vs-3", credentials=old)
    assert (await end_of(stranger, None))[0] is grpc.StatusCode.UNAVAILABLE
    third = await dispatcher.worker("vs-3").connect()
    # The streams from before go on.
    await worker.credit(1)
    await other.credit(1)
    await submitted(dispatcher, NUMBER, "MH-12-AB-0001")
    for each in (worker, other):
        assignment = await each.take()
        assert assignment.profile == LEGACY
        await each.answer(assignment)
        await each.acknowledged(assignment)
    for each in (worker, other, third):
        await each.cut()


async def test_a_token_comes_and_goes_without_a_restart(dispatcher: SecuredDispatcher) -> None:
    method = "/virtscale.v1.FleetService/GetBacklog"
    tokens = dispatcher.site.tokens
    fresh = access_tokens.add(tokens, "fresh", ["read"])

    async def gives(code: grpc.StatusCode) -> bool:
        return (await outcome(dispatcher.channel, method, fresh))[0] is code

    await until(lambda: gives(grpc.StatusCode.OK))
    content = tokens.read_bytes()
    tokens.write_text(f"fresh read {fresh}\n")

    async def is_refused() -> bool:
        return "credentials.refused" in dispatcher.logged()

    await until(is_refused)
    assert fresh not in dispatcher.logged()
    assert await gives(grpc.StatusCode.OK)
    tokens.write_bytes(content)
    watching = dispatcher.channel.unary_stream(
        "/virtscale.v1.LicenseService/WatchResults",
        request_serializer=license_pb2.WatchResultsRequest.SerializeToString,
        response_deserializer=license_pb2.WatchResultsResponse.FromString,
    )(license_pb2.WatchResultsRequest(announce_start=True), metadata=header(fresh))
    assert (await watching.read()).cursor
    access_tokens.remove(tokens, "fresh")
    await until(lambda: gives(grpc.StatusCode.UNAUTHENTICATED))
    # What was open with it is over too.
    async with asyncio.timeout(PATIENCE):
        assert await watching.code() is grpc.StatusCode.UNAUTHENTICATED
    line = 'certificate_expiry_timestamp_seconds{listener="workers"}'
    assert line in await asyncio.to_thread(dispatcher.metrics)
