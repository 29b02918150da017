from scaler.decision_store import DecisionStore
from scaler.entries import Page
from scaler.status_page.recent_entries import RecentEntries


class Counted:
    """A history that tells how much is read from it."""

    def __init__(self):
        self.store = DecisionStore(None)
        self.read = []

    def entries(self, page: Page):
        found = self.store.entries(page)
        self.read.append(len(found))
        return found

    def add(self, number):
        record = {
            "type": "result",
            "time": float(number),
            "outcome": "done",
            "inputs": {"domains": []},
        }
        self.store.append({**record, "windows": 1})


def test_only_what_is_new_is_read_again():
    history = Counted()
    recent = RecentEntries(history, most=3)
    assert recent.newest() == []
    for number in range(5):
        history.add(number)
    assert [one["time"] for one in recent.newest()] == [2.0, 3.0, 4.0]
    history.add(5)
    assert [one["time"] for one in recent.newest()] == [3.0, 4.0, 5.0]
    assert history.read == [0, 3, 2]
    assert set(recent.newest()[0]) == {"type", "time", "outcome", "id", "last", "count"}
