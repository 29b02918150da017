from collections.abc import Sequence

from dispatcher.followers import Followers, Following
from dispatcher.jobs import Job, JobKey, JobState, Profile
from dispatcher.key_sets import BITS


class Client:
    """Notes the keys of what it is told, call by call."""

    def __init__(self, followers: Followers, *keys: int) -> None:
        self.told: list[list[int]] = []
        self.following = Following(followers, self.tell)
        self.following.add(map(JobKey, keys))

    def tell(self, jobs: Sequence[Job]) -> None:
        self.told.append([int(job.key) for job in jobs])


def final(*keys: int) -> list[Job]:
    return [
        Job(JobKey(key), JobState.DONE, Profile.LEGACY_SHA256, 1.0, 0, reference="") for key in keys
    ]


def test_each_is_told_of_its_own_jobs_in_one_call():
    followers = Followers()
    one, other = Client(followers, 1, 2, 5 * BITS), Client(followers, 2, 3)
    followers.tell(final(2, 5 * BITS, 9))
    assert (one.told, other.told) == ([[2, 5 * BITS]], [[2]])
    assert list(one.following.pending) == [1]


def test_nobody_is_told_twice():
    followers = Followers()
    client = Client(followers, 1)
    followers.tell(final(1))
    followers.tell(final(1))
    assert client.told == [[1]]
    assert not followers.is_followed(JobKey(1))


def test_who_stops_is_told_nothing_more_and_others_are():
    followers = Followers()
    one, other = Client(followers, 1, 2), Client(followers, 1)
    one.following.stop()
    assert followers.is_followed(JobKey(1))
    assert not followers.is_followed(JobKey(2))
    followers.tell(final(1, 2))
    assert (one.told, other.told) == ([], [[1]])


def test_one_may_follow_more_while_it_is_told():
    followers = Followers()
    client = Client(followers, 1)
    client.following.on_final = lambda jobs: client.following.add([JobKey(jobs[0].key + 1)])
    followers.tell(final(1))
    assert list(client.following.pending) == [2]
    assert followers.is_followed(JobKey(2))
