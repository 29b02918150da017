"""What a turn of the scaler asks, beside libvirt: a dispatcher's fleet and a Prometheus, made up.

`python -m bench.tick_services WORKERS FILE` answers `ListWorkers` over gRPC and queries over HTTP;
FILE gets the ports. Every answer is of another turn: a tenth of the workers have taken or finished
a job since the last one, and every heartbeat has another age.
"""

import json
import re
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import grpc
from virtscale.v1 import fleet_pb2

from scaler.recommendation import CPU

CHANGED_EVERY = 10
"""One worker in so many is another one from turn to turn."""
_ANSWERS = 20
_SIGNAL = re.compile(r'"virtscale_signal", "([^"]+)"')


def worker_name(number: int) -> str:
    """Of the domain with this number."""
    return f"domain-{number:05}"


class _Fleet:
    def __init__(self, count: int) -> None:
        began = int(time.time()) - 3600
        self._answers = [_workers(count, turn, began) for turn in range(_ANSWERS)]
        self._turn = 0

    def _next(self) -> Any:
        self._turn += 1
        return self._answers[self._turn % _ANSWERS]

    def serve(self, server: grpc.Server) -> None:
        """Answers `ListWorkers` and nothing else."""
        handler = grpc.unary_unary_rpc_method_handler(
            lambda _request, _context: self._next(),
            request_deserializer=fleet_pb2.ListWorkersRequest.FromString,
            response_serializer=fleet_pb2.ListWorkersResponse.SerializeToString,
        )
        service = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"].full_name
        handlers = {"ListWorkers": handler}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])


def _workers(count: int, turn: int, began: int) -> Any:
    answer = fleet_pb2.ListWorkersResponse()
    for number in range(count):
        is_busy = (number + turn) % CHANGED_EVERY != 0
        worker = answer.workers.add(
            worker_id=worker_name(number),
            state=fleet_pb2.WORKER_STATE_READY,
            slots=1,
            busy_slots=int(is_busy),
            leases=int(is_busy),
            completed=turn,
            instance_id=f"instance-{number}",
        )
        worker.connected_at.FromSeconds(began + number % 60)
        worker.heartbeat_age.FromMilliseconds((number * 37 + turn * 91) % 1000)
        if is_busy:
            since_free = (number + turn) % CHANGED_EVERY
            worker.oldest_lease_at.FromSeconds(began + 600 + turn - since_free)
    return answer


class _Prometheus(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    demand = 0.0

    def do_POST(self) -> None:
        """A value and an age for every signal in the query."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        names = dict.fromkeys(_SIGNAL.findall(parse_qs(text)["query"][0]))
        result = [
            {
                "metric": {"virtscale_signal": name, "virtscale_part": part},
                "value": [time.time(), "1.0" if part == "age" else self._value(name)],
            }
            for name in names
            for part in ("value", "age")
        ]
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _value(self, name: str) -> str:
        return "0.75" if name == CPU else f"{self.demand}"

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def main() -> None:
    """Serves until it is killed."""
    count, report = int(sys.argv[1]), Path(sys.argv[2])
    fleet = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.so_reuseport", 0),))
    _Fleet(count).serve(fleet)
    fleet_port = fleet.add_insecure_port("127.0.0.1:0")
    fleet.start()
    # At this demand the pool is as large as it is wanted.
    _Prometheus.demand = 0.8 * count
    signals = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    threading.Thread(target=signals.serve_forever, daemon=True).start()
    fresh = report.with_suffix(".new")
    fresh.write_text(json.dumps({"fleet": fleet_port, "prometheus": signals.server_port}))
    fresh.replace(report)
    threading.Event().wait()


if __name__ == "__main__":
    main()
