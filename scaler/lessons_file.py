"""Where lessons are kept between two lives of the scaler."""

import json
from pathlib import Path

from scaler import lessons
from scaler.lessons import Lessons
from servicekit import logs


class LessonsFile:
    """A `LessonStore`: one small file, written when something was learned.

    It is not forced to the disk: it must survive the scaler, not the machine, after whose crash
    every boot is a new one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logger = logs.get()
        self._written: Lessons | None = None
        self._is_failing = False

    def recall(self, offset: float, now: float, max_backoff_seconds: float) -> Lessons:
        """See `LessonStore.recall`. A file that cannot be read teaches nothing."""
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            found = lessons.from_record(record, offset, now, max_backoff_seconds)
        except FileNotFoundError:
            return Lessons()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._logger.warning("lessons.unreadable", path=str(self._path), error=str(error))
            return Lessons()
        self._written = found
        return found

    def remember(self, learned: Lessons, offset: float) -> None:
        """See `LessonStore.remember`."""
        if learned == (self._written or Lessons()):
            return
        try:
            fresh = self._path.with_name(self._path.name + ".new")
            content = json.dumps(lessons.to_record(learned, offset), indent=1)
            fresh.write_text(content + "\n", encoding="utf-8")
            fresh.replace(self._path)
        except OSError as error:
            if not self._is_failing:
                self._logger.warning(
                    "lessons.write_failed", path=str(self._path), error=error.strerror
                )
            self._is_failing = True
            return
        self._is_failing = False
        self._written = learned
