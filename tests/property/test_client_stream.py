"""The books of a submitting stream, whatever happens to its connections."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from virtscale.client.job_stream import JobStream
from virtscale.client.values import Hashed, Job, JobSpec


class Wire:
    """A dispatcher and the connection to it, which may break and lose what is on its way."""

    def __init__(self, stream: JobStream, total: int, draw: random.Random) -> None:
        self.stream = stream
        self.total = total
        self.draw = draw
        self.sent = 0
        self.taken: list[Hashed] = []
        self.requests: dict[str, list[str]] = {}
        self.done: set[str] = set()
        self.up: list[tuple[str, int]] = []
        self.down: list[tuple[str, list[str]] | Job] = []

    def send(self) -> None:
        if self.sent == self.total:
            self.stream.close()
        elif self.stream.room > 0:
            count = min(self.draw.randint(1, 4), self.stream.room, self.total - self.sent)
            specs = [JobSpec(str(self.sent + n)) for n in range(count)]
            self.up.append((self.stream.begin(f"r{self.sent}", specs).request_id, count))
            self.sent += count

    def serve(self) -> None:
        """Accepts each request id once; sends final jobs again with a batch that is sent again."""
        if self.up:
            request_id, count = self.up.pop(0)
            begin = int(request_id[1:])
            ids = self.requests.setdefault(request_id, [f"j{begin + n}" for n in range(count)])
            self.down.append((request_id, ids))
            self.down += [Job(each, "done") for each in ids if each in self.done]

    def finish(self) -> None:
        accepted = [each for ids in self.requests.values() for each in ids]
        waiting = [each for each in accepted if each not in self.done]
        if waiting:
            job_id = self.draw.choice(waiting)
            self.done.add(job_id)
            self.down.append(Job(job_id, "done"))

    def hear(self) -> None:
        if self.down:
            event = self.down.pop(0)
            if isinstance(event, Job):
                self.stream.finished(event)
            else:
                self.stream.accepted(*event)

    def take(self) -> None:
        hashed = self.stream.take()
        if hashed is not None:
            self.taken.append(hashed)

    def cut(self) -> None:
        self.down.clear()
        self.up = [(batch.request_id, len(batch.specs)) for batch in self.stream.unfinished()]


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    total=st.integers(0, 40),
    window=st.integers(1, 12),
    is_ordered=st.booleans(),
)
def test_every_result_comes_once_however_often_the_connection_breaks(
    seed: int, total: int, window: int, is_ordered: bool
) -> None:
    draw = random.Random(seed)
    stream = JobStream(max_in_flight=window, is_ordered=is_ordered)
    wire = Wire(stream, total, draw)
    steps = [wire.send, wire.serve, wire.finish, wire.hear, wire.take]
    for _ in range(300):
        draw.choice([*steps, *steps, wire.cut])()
        assert wire.sent - len(wire.taken) <= window
    wire.cut()
    for _ in range(300):
        for step in steps:
            step()
    assert stream.is_complete
    indexes = [hashed.index for hashed in wire.taken]
    assert sorted(indexes) == list(range(total))
    if is_ordered:
        assert indexes == sorted(indexes)
    assert all(hashed.job.job_id == f"j{hashed.index}" for hashed in wire.taken)


def test_what_is_none_of_ours_is_dropped() -> None:
    stream = JobStream(max_in_flight=5, is_ordered=False)
    stream.begin("r", [JobSpec("a"), JobSpec("b")])
    stream.accepted("other", ["x"])
    stream.accepted("r", ["too", "many", "ids"])
    stream.finished(Job("x", "done"))
    assert stream.take() is None
    stream.close()
    assert not stream.is_complete
