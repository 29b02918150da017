"""Which page answers what."""

import asyncio
import html
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from collector.records import Group
from collector.scrape_request import RequestError, ScrapeRequest, scrape_request
from collector.targets import CrowdedError, Targets, UnknownTargetError
from collector.web.messages import HTML, Answer, Headers, Request, text_answer

_READING = ("GET", "HEAD")
_MOST_THREADS = 128
_VARY: Headers = (("Vary", "Accept, Accept-Encoding"),)
_STYLE = (
    "body{font-family:sans-serif;margin:2em auto;max-width:50em;padding:0 1em;"
    "color-scheme:light dark}td{padding:.2em 1.5em .2em 0;vertical-align:top}"
)
_PACKED: Headers = (("Content-Encoding", "gzip"), *_VARY)


class Pages:
    """Answers requests; one scrape occupies one thread while it is made, not while it is sent."""

    def __init__(
        self,
        targets: Targets,
        *,
        enabled: frozenset[Group],
        longest_seconds: float,
        max_requests: int,
        ready: Callable[[], str | None],
        version: str,
    ) -> None:
        """`ready` says why the first target cannot be read now; None when it can.

        `max_requests` is for scrapes at one time; 0 is no limit.
        """
        self._targets = targets
        self._enabled = enabled
        self._longest_seconds = longest_seconds
        self._max_requests = max_requests
        self._ready = ready
        self._version = version
        self._threads = ThreadPoolExecutor(max_requests or _MOST_THREADS, "scrape")
        self._pages: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "/": self._landing,
            "/metrics": self._metrics,
            "/probe": self._probe,
            "/-/healthy": self._healthy,
            "/-/ready": self._is_ready,
        }
        self.scrapes_under_way = 0

    def close(self) -> None:
        """Ends the threads after what they are at."""
        self._threads.shutdown(cancel_futures=True)

    async def __call__(self, request: Request) -> Answer:
        """The answer of the request's page."""
        page = self._pages.get(request.path)
        if page is None:
            return text_answer(404, "no such page; see /")
        if request.method not in _READING:
            return text_answer(405, "only GET and HEAD", (("Allow", "GET, HEAD"),))
        return await page(request)

    async def _metrics(self, request: Request) -> Answer:
        if "target" in request.query:
            # Else a host's series would be kept under the name of another.
            return text_answer(400, "/metrics is the first target; for others: /probe?target=NAME")
        return await self._scrape(request, self._targets.names[0], is_probe=False)

    async def _probe(self, request: Request) -> Answer:
        asked = request.query.get("target", ())
        if len(asked) != 1 or not asked[0]:
            known = ", ".join(self._targets.names)
            return text_answer(400, f"give one target: /probe?target=NAME; known: {known}")
        try:
            self._targets.check(asked[0])
        except UnknownTargetError as error:
            return text_answer(404, str(error))
        return await self._scrape(request, asked[0], is_probe=True)

    async def _healthy(self, request: Request) -> Answer:
        return text_answer(200, "healthy")

    async def _is_ready(self, request: Request) -> Answer:
        reason = self._ready()
        if reason is None:
            return text_answer(200, "ready")
        return text_answer(503, f"not ready: {reason}")

    async def _landing(self, request: Request) -> Answer:
        links = ["/metrics", *(f"/probe?target={quote(name)}" for name in self._targets.names)]
        links += ["/-/healthy", "/-/ready"]
        listed = "".join(
            f'<li><a href="{html.escape(one)}">{html.escape(one)}</a>' for one in links
        )
        groups = "".join(
            f"<tr><td>{group}<td>{'on' if group in self._enabled else 'off'}"
            f"<td>{html.escape(group.meaning, quote=False)}"
            for group in Group
        )
        page = (
            "<!doctype html><html lang=en><meta charset=utf-8><title>virtscale collector</title>"
            '<meta name=viewport content="width=device-width">'
            f"<style>{_STYLE}</style><h1>virtscale collector</h1>"
            "<p>Statistics of libvirt domains for Prometheus, version "
            f"{html.escape(self._version)}."
            f"<ul>{listed}</ul><h2>Collectors</h2><table>{groups}</table>"
            "<p>A scrape may ask for some: <code>/metrics?collect[]=state&amp;collect[]=cpu</code>,"
            " or leave some out: <code>/metrics?exclude[]=block</code>.</html>\n"
        )
        return Answer(200, page.encode(), HTML)

    async def _scrape(self, request: Request, target: str, *, is_probe: bool) -> Answer:
        try:
            wanted = scrape_request(
                request.headers, request.query, self._enabled, self._longest_seconds
            )
        except RequestError as error:
            return text_answer(400, str(error))
        headers = _PACKED if wanted.is_compressed else _VARY
        if request.method == "HEAD":
            # Who only knocks causes no reading, so how long the answer would be is not known.
            return Answer(200, b"", wanted.form.content_type, _VARY, has_length=False)
        if 0 < self._max_requests <= self.scrapes_under_way:
            return text_answer(
                503,
                f"{self._max_requests} scrapes are under way (--web.max-requests); try again later",
            )
        try:
            body = await self._made(target, wanted, is_probe)
        except CrowdedError as error:
            return text_answer(503, str(error))
        return Answer(200, body, wanted.form.content_type, headers)

    async def _made(self, target: str, wanted: ScrapeRequest, is_probe: bool) -> bytes:
        def scrape() -> bytes:
            with self._targets.use(target) as exporter:
                return exporter.scrape(
                    wanted.timeout_seconds,
                    wanted.groups,
                    wanted.form,
                    is_compressed=wanted.is_compressed,
                    is_probe=is_probe,
                )

        loop = asyncio.get_running_loop()
        made = loop.run_in_executor(self._threads, scrape)
        self.scrapes_under_way += 1
        made.add_done_callback(self._is_made)
        # A client that goes leaves its scrape to end by itself: libvirt's calls cannot be cut off.
        return await asyncio.shield(made)

    def _is_made(self, made: asyncio.Future[bytes]) -> None:
        self.scrapes_under_way -= 1
        if not made.cancelled():
            made.exception()  # or it would be reported as never looked at
