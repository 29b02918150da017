"""The dispatcher behind TLS, with client certificates."""

from pathlib import Path

import grpc
import pytest
import trustme
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
