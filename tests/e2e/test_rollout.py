"""A new image rolls through a pool of real guests while they work."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import machine
from tests.e2e.test_scale_out_and_in import jobs

pytestmark = pytest.mark.e2e


@contextmanager
def another_image(state: Path) -> Iterator[str]:
    """The newest image again under another name, as if something in it had changed."""
    manifests = [path for path in (state / "image").glob("*/image.json")]
    newest = max(manifests, key=lambda path: json.loads(path.read_text())["built_at"])
    owner = newest.stat()
    copy = newest.parent.with_name("another")
    fresh = newest.parent.with_name(".another")
    shutil.copytree(newest.parent, fresh)
    facts = json.loads(newest.read_text())
    facts |= {"generation": "sha256:another", "built_at": time.time()}
    (fresh / "image.json").write_text(json.dumps(facts))
    for path in (fresh, *fresh.iterdir()):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    fresh.rename(copy)
    try:
        yield facts["generation"]
    finally:
        shutil.rmtree(copy)


@pytest.mark.timeout(400)
def test_a_new_image_replaces_the_guests_without_losing_a_job(stack_state, virtscale) -> None:
    with machine.running_stack(
        stack_state, "--no-load", "--min", "1", "--max", "2", command=virtscale
    ) as stack:
        client = machine.Client(stack)
        try:
            machine.wait_for("a worker says Hello", client.workers, within=180)
            (old,) = {worker.image_generation for worker in client.workers().values()}
            client.submit(jobs(20, seed=5, busy_seconds=0.5))
            with another_image(stack_state) as new:
                machine.wait_for(
                    "all that run have the new image",
                    lambda: {one.image_generation for one in client.workers().values()} == {new},
                    within=180,
                )
                client.submit(jobs(5, seed=6, busy_seconds=0.2))
                machine.wait_for("every job is final", lambda: not client.unfinished(), within=90)
                client.check_every_result()
                assert old != new
                assert stack.stop() == 0
        finally:
            client.close()
        assert stack.leftovers() == []
