import asyncio

import pytest

from scaler.decision import Outcome
from scaler.executor import Executor
from scaler.planner import Action
from scaler.pool import ActionKind, Lifecycle, Operation, OperationKind
from scaler.ports import DrainEnd, ErrorKind, FleetError, HypervisorError
from scaler.reasons import Reason
from tests.simulation.clock import VirtualClock
from tests.simulation.hypervisor_fake import FakeHypervisor

NOW = VirtualClock().wall()


class FleetOfOne:
    """Writes down what it is asked; a drain ends when the test says."""

    def __init__(self):
        self.calls = []
        self.grants = True
        self.error = None
        self.drained = asyncio.get_running_loop().create_future()

    async def cordon(self, worker_id, *, reason, max_leases):
        self._note("cordon", max_leases)
        return self.grants

    async def drain(self, worker_id, *, reason, deadline_seconds):
        self._note("drain", deadline_seconds)
        return await self.drained

    async def uncordon(self, worker_id):
        self._note("uncordon", None)

    def _note(self, call, argument):
        self.calls.append((call, argument))
        if self.error is not None:
            raise self.error


class Scene:
    def __init__(self):
        self.hypervisor = FakeHypervisor()
        self.hypervisor.define("a")
        self.domain = self.hypervisor.domains["a"]
        self.fleet = FleetOfOne()
        self.results = []
        self.executor = Executor(self.hypervisor, self.fleet, VirtualClock(), self.results.append)

    async def act(self, kind, **fields):
        self.executor.launch(Action(kind, "a", Reason.STEADY, **fields), token=7)
        await self.settle()

    async def settle(self):
        for _ in range(30):
            await asyncio.sleep(0)

    @property
    def outcomes(self):
        return [(one.kind, one.outcome) for one in self.results]


@pytest.fixture
async def scene():
    scene = Scene()
    yield scene
    await scene.executor.stop()


async def test_writes_the_operation_down_before_it_starts(scene):
    scene.domain.start_error = HypervisorError(ErrorKind.CAPACITY, "no memory")
    await scene.act(ActionKind.START)
    assert scene.domain.operation == Operation(OperationKind.START, NOW, 7)
    assert scene.outcomes == [(ActionKind.START, Outcome.FAILED)]
    assert scene.results[0].error == "no memory"


async def test_a_busy_hypervisor_is_not_the_domains_fault(scene):
    scene.hypervisor.is_away = True
    await scene.act(ActionKind.START)
    assert scene.outcomes == [(ActionKind.START, Outcome.RETRYABLE)]


async def test_drains_until_the_worker_holds_nothing(scene):
    await scene.act(ActionKind.DRAIN, deadline_seconds=60.0, max_leases=2)
    assert scene.fleet.calls == [("cordon", 2), ("drain", 60.0)]
    assert scene.domain.operation == Operation(OperationKind.DRAIN, NOW, 7)
    assert scene.results == []
    scene.fleet.drained.set_result(DrainEnd.DRAINED)
    await scene.settle()
    assert scene.outcomes == [(ActionKind.DRAIN, Outcome.DONE)]


async def test_a_refused_cordon_leaves_nothing_behind(scene):
    scene.fleet.grants = False
    await scene.act(ActionKind.DRAIN, deadline_seconds=60.0, max_leases=2)
    assert scene.outcomes == [(ActionKind.DRAIN, Outcome.REFUSED)]
    assert scene.domain.operation is None


async def test_a_resumed_drain_keeps_its_beginning(scene):
    begun = Operation(OperationKind.DRAIN, NOW - 30, 3)
    scene.domain.operation = begun
    await scene.act(ActionKind.DRAIN, deadline_seconds=30.0, is_repeated=True)
    assert scene.fleet.calls == [("drain", 30.0)]
    assert scene.domain.operation == begun


async def test_cancelling_ends_the_drain_first_and_then_uncordons(scene):
    await scene.act(ActionKind.DRAIN, deadline_seconds=60.0, max_leases=2)
    await scene.act(ActionKind.CANCEL_DRAIN)
    assert scene.fleet.drained.cancelled()
    assert scene.fleet.calls[-1] == ("uncordon", None)
    assert scene.domain.operation is None
    assert scene.outcomes == [
        (ActionKind.DRAIN, Outcome.CANCELLED),
        (ActionKind.CANCEL_DRAIN, Outcome.DONE),
    ]


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        (ActionKind.SHUTDOWN, OperationKind.SHUTDOWN),
        (ActionKind.DESTROY, OperationKind.DESTROY),
    ],
)
async def test_a_repeated_request_does_not_move_its_deadline(scene, kind, operation):
    scene.domain.lifecycle = Lifecycle.RUNNING
    begun = Operation(operation, NOW - 10, 7)
    scene.domain.operation = begun
    await scene.act(kind, is_repeated=True)
    assert scene.domain.operation == begun
    scene.domain.lifecycle = Lifecycle.RUNNING
    await scene.act(kind)
    assert scene.domain.operation == Operation(operation, NOW, 7)


async def test_settling_lifts_the_cordon_before_it_forgets(scene):
    begun = Operation(OperationKind.SHUTDOWN, NOW, 7)
    scene.domain.operation = begun
    scene.fleet.error = FleetError("away")
    await scene.act(ActionKind.SETTLE, lifts_cordon=True)
    assert scene.domain.operation == begun
    assert scene.outcomes == [(ActionKind.SETTLE, Outcome.RETRYABLE)]
    scene.fleet.error = None
    await scene.act(ActionKind.SETTLE, lifts_cordon=True)
    assert scene.domain.operation is None


async def test_stopping_abandons_a_drain_and_keeps_it_written_down(scene):
    await scene.act(ActionKind.DRAIN, deadline_seconds=60.0, max_leases=2)
    await scene.executor.stop()
    assert scene.domain.operation is not None
    assert scene.outcomes == [(ActionKind.DRAIN, Outcome.CANCELLED)]


async def test_a_standby_domain_is_cordoned_before_it_boots(scene):
    scene.hypervisor.on_start = lambda name: scene.fleet.calls.append(("start", name))
    await scene.act(ActionKind.PREPARE)
    assert scene.fleet.calls == [("cordon", None), ("start", "a")]
    assert scene.domain.operation == Operation(OperationKind.PREPARE, NOW, 7)


async def test_a_worker_that_cannot_be_cordoned_does_not_boot_for_standby(scene):
    scene.fleet.error = FleetError("away")
    await scene.act(ActionKind.PREPARE)
    assert scene.domain.lifecycle is Lifecycle.OFF
    assert scene.outcomes == [(ActionKind.PREPARE, Outcome.RETRYABLE)]


@pytest.mark.parametrize(
    ("kind", "operation", "lifecycle"),
    [
        (ActionKind.SUSPEND, OperationKind.SUSPEND, Lifecycle.PAUSED),
        (ActionKind.SAVE, OperationKind.SAVE, Lifecycle.OFF),
    ],
)
async def test_freezes_a_worker_with_empty_hands_only(scene, kind, operation, lifecycle):
    scene.domain.lifecycle = Lifecycle.RUNNING
    scene.fleet.grants = False
    await scene.act(kind)
    assert scene.domain.lifecycle is Lifecycle.RUNNING
    assert scene.domain.operation is None
    assert scene.outcomes == [(kind, Outcome.REFUSED)]
    scene.fleet.grants = True
    await scene.act(kind)
    assert scene.fleet.calls == [("cordon", 0), ("cordon", 0)]
    assert scene.domain.lifecycle is lifecycle
    assert scene.domain.operation == Operation(operation, NOW, 7)


async def test_a_wake_lifts_the_cordon(scene):
    scene.domain.lifecycle = Lifecycle.PAUSED
    await scene.act(ActionKind.RESUME)
    assert scene.domain.lifecycle is Lifecycle.RUNNING
    assert scene.domain.operation == Operation(OperationKind.RESUME, NOW, 7)
    assert scene.fleet.calls == [("uncordon", None)]


async def test_a_restore_writes_its_operation_again_over_the_images_own(scene):
    scene.domain.has_saved_image = True
    saved = Operation(OperationKind.SAVE, NOW - 100, 3)

    def bring_back(name):
        assert scene.domain.operation == Operation(OperationKind.RESTORE, NOW, 7)
        scene.domain.operation = saved

    scene.hypervisor.on_wake = bring_back
    await scene.act(ActionKind.RESTORE)
    assert scene.domain.operation == Operation(OperationKind.RESTORE, NOW, 7)
    assert not scene.domain.has_saved_image


async def test_a_restore_without_an_image_fails_and_does_not_boot(scene):
    await scene.act(ActionKind.RESTORE)
    assert scene.domain.lifecycle is Lifecycle.OFF
    assert scene.outcomes == [(ActionKind.RESTORE, Outcome.FAILED)]


async def test_discards_an_image(scene):
    scene.domain.has_saved_image = True
    await scene.act(ActionKind.DISCARD)
    assert not scene.domain.has_saved_image
