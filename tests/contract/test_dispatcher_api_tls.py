"""The dispatcher behind TLS, with client certificates."""

from pathlib import Path

import grpc
import pytest
import trustme
from virtscale.client import ONCE, AsyncClient, Tls, UnavailableError
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc

from tests.contract.dispatcher_process import PATIENCE, DispatcherProcess


async def test_only_a_client_with_a_certificate_gets_in(tmp_path: Path) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("scaler")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = {
        name: str(tmp_path / f"{file}.pem")
        for name, file in (("certificate", "cert"), ("key", "key"), ("client_ca", "ca"))
    }
    dispatcher = DispatcherProcess(tmp_path, tls=tls)
    dispatcher.start()
    try:
        root = authority.cert_pem.bytes()
        known = grpc.ssl_channel_credentials(
            root, client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
        )
        request = fleet_pb2.GetBacklogRequest()
        async with grpc.aio.secure_channel(f"localhost:{dispatcher.port}", known) as channel:
            await fleet_pb2_grpc.FleetServiceStub(channel).GetBacklog(request, timeout=PATIENCE)
        stranger = grpc.ssl_channel_credentials(root)
        async with grpc.aio.secure_channel(f"localhost:{dispatcher.port}", stranger) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await fleet_pb2_grpc.FleetServiceStub(channel).GetBacklog(request, timeout=PATIENCE)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    finally:
        await dispatcher.close()


async def test_the_python_client_knows_its_dispatcher_by_the_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    dispatcher = DispatcherProcess(tmp_path, tls=tls)
    dispatcher.start()
    address = f"localhost:{dispatcher.port}"
    try:
        known = Tls(ca=tmp_path / "ca.pem")
        async with AsyncClient(address, tls=known, token="secret-token") as client:
            (job_id,) = await client.submit(["KA-47-UT-9173"])
            assert (await client.get(job_id)).state == "ready"
        for stranger in (Tls(ca=tmp_path / "other.pem"), None):
            async with AsyncClient(address, tls=stranger, retry=ONCE) as client:
                with pytest.raises(UnavailableError):
                    await client.get(job_id)
    finally:
        await dispatcher.close()
    assert "secret-token" not in dispatcher.log.read_text()
