"""Every command of docs/API.md, run against a real dispatcher.

grpcurl itself is not needed: its calls are made by a client that knows only what the server's
reflection says, as grpcurl does. Node.js and npm are; without them that test is skipped.
"""

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from dispatcher import hashing
from tests.contract.dispatcher_process import (
    PATIENCE,
    ROOT,
    DispatcherProcess,
    ScriptedWorker,
)

TEXT = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:15051"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def commands(program: str) -> list[str]:
    return [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith(program) or (program == "grpcurl" and re.match(r"[A-Z]+=", line))
    ]


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path)
    process.start()
    yield process
    await process.close()


@contextlib.asynccontextmanager
async def working(dispatcher: DispatcherProcess) -> AsyncIterator[None]:
    worker = await ScriptedWorker(dispatcher.address).connect()
    await worker.credit(10_000)

    async def work() -> None:
        while True:
            await worker.answer(await worker.assignments.get())

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await worker.cut()


class Grpcurl:
    """What grpcurl does with the arguments used here, from the server's reflection alone."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._database = ProtoReflectionDescriptorDatabase(self._channel)
        self._pool = descriptor_pool.DescriptorPool(self._database)

    def close(self) -> None:
        self._channel.close()

    def run(self, words: list[str]) -> list[Any]:
        data = "{}"
        rest: list[str] = []
        given = iter(words)
        for word in given:
            if word == "-d":
                data = next(given)
            elif word != "-plaintext":
                rest.append(word)
        assert rest[0] == ADDRESS
        if rest[1] == "list":
            return self._list(*rest[2:])
        if rest[1] == "describe":
            return [field.name for field in self._pool.FindMessageTypeByName(rest[2]).fields]
        return self._call(rest[1], json.loads(data))

    def _list(self, service: str = "") -> list[str]:
        if not service:
            return list(self._database.get_services())
        return [method.name for method in self._pool.FindServiceByName(service).methods]

    def _call(self, path: str, data: Any) -> list[Any]:
        service, _, name = path.partition("/")
        method = self._pool.FindServiceByName(service).FindMethodByName(name)
        request: Any = message_factory.GetMessageClass(method.input_type)()
        answer: Any = message_factory.GetMessageClass(method.output_type)
        json_format.ParseDict(data, request)
        kind = (
            "stream" if method.client_streaming else "unary",
            "stream" if method.server_streaming else "unary",
        )
        call = getattr(self._channel, "_".join(kind))(
            f"/{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        given = iter([request]) if method.client_streaming else request
        answers = call(given, timeout=PATIENCE)
        found = answers if method.server_streaming else [answers]
        return [json_format.MessageToDict(each) for each in found]


def run_all(dispatcher: DispatcherProcess) -> dict[str, list[Any]]:
    """The answers by method or word; `JOB` and `HASH` are set as a reader would."""
    grpcurl = Grpcurl(dispatcher.address)
    names: dict[str, str] = {}
    answers: dict[str, list[Any]] = {}
    try:
        for line in commands("grpcurl"):
            if line.startswith("JOB="):
                names["JOB"] = answers["SubmitJobs"][0]["jobIds"][0]
            elif line.startswith("HASH="):
                names["HASH"] = answers["GetJob"][0]["job"]["result"]["hash"]
            else:
                words = shlex.split(expanded(line, names))
                answers[words[-1].rpartition("/")[2]] = grpcurl.run(words[1:])
    finally:
        grpcurl.close()
    return answers


def expanded(line: str, names: dict[str, str]) -> str:
    """As a shell would: variables in double quotes only."""
    return string.Template(line).substitute(names) if '"$' in line or '\\"$' in line else line


async def test_grpcurl_needs_no_file_of_ours(dispatcher: DispatcherProcess) -> None:
    async with working(dispatcher):
        answers = await asyncio.to_thread(run_all, dispatcher)
    assert "virtscale.v1.LicenseService" in answers["list"]
    assert "WatchResults" in answers["virtscale.v1.LicenseService"]
    assert answers["virtscale.v1.JobSpec"] == ["number", "profile", "load", "reference"]
    assert answers["Check"] == [{"status": "SERVING"}]
    assert answers["WaitJobs"][0]["allFinal"] is True
    done = answers["GetJob"][0]["job"]
    assert (done["state"], done["reference"]) == ("JOB_STATE_DONE", "row 1")
    assert answers["VerifyLicense"][0]["matches"] is True
    assert len(answers["StreamJobs"]) == 2
    assert len(answers["ListJobs"][0]["jobs"]) == 2
    assert len(answers["WatchResults"]) == 2
    assert answers["CancelJobs"][0]["jobs"][0]["state"] == "JOB_STATE_DONE"
    assert (answers["GetBacklog"][0]["accepted"], answers["GetBacklog"][0]["done"]) == ("2", "2")
    assert answers["ListWorkers"][0]["workers"][0]["workerId"] == "w1"


@pytest.mark.parametrize("block", blocks("python"))
async def test_the_python_client_is_used_as_shown(
    dispatcher: DispatcherProcess, block: str
) -> None:
    def use() -> str:
        out = io.StringIO()
        names = {"__name__": "example", "print": lambda *words: print(*words, file=out)}
        exec(compile(block.replace(ADDRESS, dispatcher.address), "docs/API.md", "exec"), names)
        return out.getvalue()

    async with working(dispatcher):
        lines = (await asyncio.to_thread(use)).splitlines()
    assert len(lines) >= 4
    assert sorted(line.split()[0] for line in lines[:2]) == ["0", "1"]
    # With its letters: four digits alone turn up in hashes by chance.
    assert not any("UT" in line for line in lines)


async def run(
    words: list[str], folder: Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        words,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def check_belongs(number: str, stored: str) -> None:
    verdict = hashing.verify(
        number,
        hashing.parse(stored),
        hashing.Keyring(),
        profile=hashing.Profile.LEGACY_SHA256,
        cost=hashing.Cost(8, 1, 1),
    )
    assert verdict.matches


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="Node.js and npm are not installed, so the example in docs/examples/node is NOT tested "
    "here; install nodejs (18 or newer) and npm to test it",
)
async def test_the_example_in_another_language_waits_for_the_dispatcher(tmp_path: Path) -> None:
    enter, install, use = commands("cd docs") + commands("npm") + commands("node")
    folder = tmp_path / "node"
    shutil.copytree(ROOT / enter.split()[1], folder)
    numbers = [f"KA-47-UT-{n:04d}" for n in range(1, 1_201)]
    (folder / "numbers.txt").write_text("\n".join(numbers) + "\n")
    (folder / "bad.txt").write_text("SECRET9173\x07\n")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund"]
    done = await run([*shlex.split(install), *quiet], folder)
    assert done.returncode == 0, done.stderr
    process = DispatcherProcess(tmp_path)
    example = shlex.split(use.replace(ADDRESS, process.address))
    proto = {"VIRTSCALE_PROTO": str(ROOT / "proto")}
    # The dispatcher comes after the client has begun to ask.
    asking = asyncio.create_task(run(example, folder, **proto))
    try:
        await asyncio.to_thread(process.start)
        async with working(process):
            done = await asking
        assert done.returncode == 0, done.stderr
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert [int(row[0]) for row in rows] == list(range(1, 1_201))
        for number, (_, profile, stored) in zip(numbers, rows, strict=True):
            assert profile == "legacy-sha256"
            check_belongs(number, stored)
        assert (await process.backlog()).accepted == 1_200
        bad = await run(["node", "hash_numbers.mjs", process.address, "bad.txt"], folder, **proto)
        assert bad.returncode == 1
        assert "INVALID_ARGUMENT" in bad.stderr
        assert "jobs[0].number" in bad.stderr
        assert "9173" not in bad.stderr
    finally:
        await process.close()
        await asyncio.gather(asking, return_exceptions=True)


async def test_the_command_line_exports_as_shown(
    dispatcher: DispatcherProcess, tmp_path: Path
) -> None:
    async with working(dispatcher):
        job_ids = await dispatcher.submit("KA-47-UT-9173")
        await dispatcher.finals(job_ids)
    shown = commands("./virtscale")
    assert len(shown) == 2
    for line in shown:
        done = await run(
            [sys.executable, "-m", "stack", *line.split()[1:], "--dispatcher", dispatcher.address],
            tmp_path,
            PYTHONPATH=f"{ROOT}:{ROOT / 'proto'}",
        )
        assert done.returncode == 0, done.stderr
    assert job_ids[0] in done.stdout
    assert job_ids[0] in (tmp_path / "all.csv").read_text()


def test_no_command_of_the_page_is_left_out() -> None:
    programs = ("grpcurl", "cd docs", "npm", "node", "./virtscale")
    covered = {line for program in programs for line in commands(program)}
    shown = {line for block in blocks("sh") for line in block.splitlines()}
    assert shown == covered
