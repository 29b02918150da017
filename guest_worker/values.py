"""The nouns of the worker: leases, work, outcomes, and the messages of the stream as plain values.

No value of this module prints a number, a salt or a token: what may be secret is left out of
`repr`, so that no trace or log line can carry it.
"""

from typing import NamedTuple

LEGACY_SHA256 = "legacy-sha256"
HMAC_SHA256 = "hmac-sha256"
ARGON2ID = "argon2id"


class Lease(NamedTuple):
    """The right to work on a job. The epoch grows each time the job is leased again."""

    key: int
    epoch: int


class Collision(NamedTuple):
    """Load: find a counter whose hash begins with the same bits as the input's.

    `bits` is 1 to 40; `seed` 0 means a random start.
    """

    bits: int
    seed: int


class Verify(NamedTuple):
    """Load: verify the fresh hash `repetitions` times, 1 to 10,000,000."""

    repetitions: int


class Busy(NamedTuple):
    """Load: hash for `seconds` of the hashing process's CPU time, more than 0, at most 3,600."""

    seconds: float


Load = Collision | Verify | Busy | None


class Argon2Cost(NamedTuple):
    """Cost of one Argon2id hash: memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


class Assignment(NamedTuple):
    """One job with its lease.

    `input` is the number in UTF-8 for legacy-sha256 and the 32-byte keyed number otherwise.
    `profile` is one of the names above, or what the dispatcher sent if it is none of them.
    """

    lease: Lease
    profile: str
    input: bytes
    key_id: str = ""
    load: Load = None
    argon2_cost: Argon2Cost | None = None

    @property
    def is_light(self) -> bool:
        """Whether it takes microseconds. A heavy job may take any time."""
        return self.load is None and self.profile != ARGON2ID

    def __repr__(self) -> str:
        return f"Assignment({self.lease!r}, {self.profile!r}, load={self.load!r})"


class Refusal(NamedTuple):
    """Why a job was not done. The message is one sentence and never holds a number."""

    retryable: bool
    message: str


class Outcome(NamedTuple):
    """What became of one lease: the stored form of the hash, or a refusal."""

    lease: Lease
    result: str | Refusal
    cpu_seconds: float

    def __repr__(self) -> str:
        result = self.result if isinstance(self.result, Refusal) else "hash"
        return f"Outcome({self.lease!r}, {result!r}, {self.cpu_seconds:.3f})"


# --- messages to the dispatcher -------------------------------------------------------------------


class Hello(NamedTuple):
    """Who the worker is; the first message of every stream. `uptime` in seconds if known.

    `store_id` is the store that `held` belongs to.
    """

    worker_id: str
    instance_id: str
    join_token: str
    slots: int
    software_version: str
    image_generation: str
    held: tuple[Lease, ...]
    uptime: float | None
    profiles: tuple[str, ...]
    store_id: str = ""

    def __repr__(self) -> str:
        return f"Hello({self.worker_id!r}, slots={self.slots}, held={self.held!r})"


class Credit(NamedTuple):
    """Room for so many jobs more than those granted before on this stream."""

    jobs: int


class Results(NamedTuple):
    """Finished jobs, in the order they finished."""

    outcomes: tuple[Outcome, ...]


class Heartbeat(NamedTuple):
    """Sign of life; renews the leases it names."""

    held: tuple[Lease, ...]
    busy_slots: int


class Release(NamedTuple):
    """Leases whose work has not begun and would not begin soon, and credit, are given back."""

    leases: tuple[Lease, ...]
    credit: int


class Draining(NamedTuple):
    """The worker wants to leave: no more jobs, please."""

    reason: str


class Goodbye(NamedTuple):
    """The worker leaves; everything that is not acknowledged goes back."""

    reason: str


MessageUp = Hello | Credit | Results | Heartbeat | Release | Draining | Goodbye


# --- messages from the dispatcher -----------------------------------------------------------------


class Welcome(NamedTuple):
    """The session is open. Times in seconds; `kept` are the held leases that still hold.

    `store_id` names the store of the dispatcher: keys are of no use at another one.
    """

    session_id: str
    heartbeat_interval: float
    lease_ttl: float
    kept: tuple[Lease, ...]
    cordoned: bool
    store_id: str = ""


class Jobs(NamedTuple):
    """Jobs to do."""

    assignments: tuple[Assignment, ...]


class ResultAcks(NamedTuple):
    """Results the worker may forget."""

    leases: tuple[Lease, ...]


class LeasesRevoked(NamedTuple):
    """Leases that no longer hold: stop that work, send no result."""

    leases: tuple[Lease, ...]


class Drain(NamedTuple):
    """Finish what you hold, take nothing new."""


class DrainCancelled(NamedTuple):
    """The drain is off."""


class GoodbyeAck(NamedTuple):
    """The leave is recorded."""


MessageDown = Welcome | Jobs | ResultAcks | LeasesRevoked | Drain | DrainCancelled | GoodbyeAck


class Lost(NamedTuple):
    """Not a message: the stream ended. `rejected`: the dispatcher refuses this worker as it is."""

    reason: str
    rejected: bool


# --- what the session asks of the loop ------------------------------------------------------------


class Start(NamedTuple):
    """Begin this work in free hashing processes."""

    assignments: tuple[Assignment, ...]


class Cancel(NamedTuple):
    """Abandon the work under these leases; their outcomes are of no interest."""

    leases: tuple[Lease, ...]


class Reconnect(NamedTuple):
    """The stream is of no use any more (the reason says why): close it and open another."""

    reason: str


class Exit(NamedTuple):
    """Nothing is left to be done: the worker may end. `clean` when the leave was acknowledged."""

    clean: bool


Output = MessageUp | Start | Cancel | Reconnect | Exit
