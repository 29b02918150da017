"""Queue and CPU from Prometheus, for the page: asked only while somebody looks."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import requests

from scaler.status_page.load import STEP_SECONDS, Figures, History, LoadError, grid, points

_PART = "virtscale_part"
_CPU = 'pool_domain:libvirt_domain_cpu_utilisation:avg5s{{pool="{pool}"}}'
_POOL_CPU = 'pool:libvirt_domain_cpu_utilisation:avg5s{{pool="{pool}"}}'
_WAITING = 'sum(pool:virtscale_waiting_jobs:current{{pool="{pool}"}})'
_WAIT = (
    "histogram_quantile(0.95, sum by (le) (rate(virtscale_dispatcher_job_wait_seconds_bucket[5m])))"
)
_RESULTS = "sum(rate(virtscale_dispatcher_job_service_seconds_count[30s]))"


class PrometheusLoad:
    """A `LoadSource`. One request for everything of now, one for everything of before."""

    def __init__(self, url: str, pool: str, *, timeout_seconds: float = 2.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._now = _together(
            {"cpu": _CPU.format(pool=pool), "wait": _WAIT, "results": _RESULTS}.items()
        )
        self._before = _together(
            {
                "cpu": _CPU.format(pool=pool),
                "pool": _POOL_CPU.format(pool=pool),
                "waiting": _WAITING.format(pool=pool),
            }.items()
        )

    def figures(self) -> Figures:
        """See `LoadSource.figures`."""
        cpu: dict[str, float] = {}
        single: dict[str, float] = {}
        for part, domain, one in self._ask("query", {"query": self._now}):
            value = float(one["value"][1])
            if part != "cpu":
                single[part] = value
            elif math.isfinite(value):
                cpu[domain] = value
        results = single.get("results", math.nan)
        return Figures(
            cpu=cpu,
            wait_p95_seconds=single.get("wait"),
            results_per_second=results if math.isfinite(results) else None,
        )

    def history(self, now: float) -> History:
        """See `LoadSource.history`."""
        start, end = grid(now)
        question = {"query": self._before, "start": start, "end": end, "step": STEP_SECONDS}
        cpu = {}
        single = {}
        for part, domain, one in self._ask("query_range", question):
            samples = {round(float(at)): float(value) for at, value in one["values"]}
            found = points({at: one for at, one in samples.items() if math.isfinite(one)}, start)
            if part == "cpu":
                cpu[domain] = found
            else:
                single[part] = found
        return History(cpu, single.get("pool", ()), single.get("waiting", ()))

    def _ask(
        self, path: str, question: Mapping[str, Any]
    ) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Each series with the part of the question that it answers, and its domain."""
        try:
            # A session would be shared by threads; two requests in some seconds need none.
            with requests.Session() as session:
                session.trust_env = False
                response = session.post(
                    f"{self._url}/api/v1/{path}",
                    data={**question, "timeout": f"{self._timeout_seconds:g}s"},
                    timeout=self._timeout_seconds,
                    allow_redirects=False,
                )
            answer = response.json()
            if answer.get("status") != "success":
                raise LoadError(f"refused: {str(answer.get('error'))[:200]}")
            for one in answer["data"]["result"]:
                labels = one["metric"]
                yield labels[_PART], labels.get("domain", ""), one
        except requests.Timeout:
            raise LoadError("no answer in time") from None
        except requests.ConnectionError:
            raise LoadError("cannot connect") from None
        except (requests.RequestException, ValueError, LookupError, TypeError, AttributeError):
            raise LoadError("the answer is not one of Prometheus") from None


def _together(questions: Iterable[tuple[str, str]]) -> str:
    """Expressions as one, whose series carry the name of their question."""
    return " or ".join(
        f'label_replace({expression}, "{_PART}", "{name}", "", "")'
        for name, expression in questions
    )
