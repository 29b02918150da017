"""The dispatcher behind TLS; who may do what there is in test_access.py."""

import asyncio
from pathlib import Path

import pytest
import trustme
from virtscale.client import ONCE, AsyncClient, Tls, UnavailableError

from tests.contract.dispatcher_process import DispatcherProcess


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
        # Who goes in the midst of a handshake, as these may, is not told from who is cut off; this
        # one stays and says something else than TLS.
        reader, writer = await asyncio.open_connection("localhost", dispatcher.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await reader.read()
        writer.close()
        failed = 'virtscale_dispatcher_failed_handshakes_total{listener="clients",reason="%s"} '
        text = await asyncio.to_thread(dispatcher.metrics)
        assert failed % "timeout" + "0.0" in text
        assert failed % "protocol" + "0.0" not in text
    finally:
        await dispatcher.close()
    assert "secret-token" not in dispatcher.log.read_text()
