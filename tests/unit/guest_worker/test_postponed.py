import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def test_a_postponed_module_is_the_real_one_as_soon_as_it_is_used() -> None:
    code = """
from guest_worker.postponed import postpone
postpone(("asyncio", "inspect"))
import sys, asyncio, inspect
assert "asyncio.base_events" not in sys.modules
async def answer(): return 42
print(asyncio.run(answer()), inspect.isfunction(answer), sys.modules["asyncio"].__name__)
"""
    assert run(code) == "42 True asyncio\n"


def test_grpc_aio_still_works_after_all() -> None:
    code = """
from guest_worker.postponed import postpone
postpone()
import grpc, grpc.aio
from virtscale.v1 import worker_pb2
async def main():
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        return type(channel).__module__
import asyncio
print(asyncio.run(main()), str(worker_pb2.Lease(key=7)).strip())
"""
    assert run(code) == "grpc.aio._channel key: 7\n"


def test_modules_that_are_loaded_already_stay() -> None:
    code = """
import asyncio
from guest_worker.postponed import postpone
postpone(("asyncio",))
import sys
print(sys.modules["asyncio"] is asyncio)
"""
    assert run(code) == "True\n"
