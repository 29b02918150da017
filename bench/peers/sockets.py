"""One TCP connection a job and one for its result: what the reference program's sockets do.

`python -m bench.peers.sockets worker WORK_PORT RESULT_PORT` is the machine's side; without these
words it is the client. As there, a worker has one job in flight, and nothing is stored.
"""

import socket
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from bench.peers import formula, measuring

_BYTES = 1024


def serve(work_port: int, result_port: int) -> None:
    """Takes a number per connection, sends its hash over a connection of its own."""
    listener = socket.create_server(("127.0.0.1", work_port), backlog=1)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                number = connection.recv(_BYTES).decode()
            except ConnectionError:
                continue
        if not number:
            continue  # somebody looked whether this port is open
        with socket.create_connection(("127.0.0.1", result_port)) as answer:
            answer.sendall(formula.sha256(number).encode())


def _one_worker(ports: tuple[int, int], numbers: list[str]) -> list[tuple[str, str]]:
    answers = []
    with socket.create_server(("127.0.0.1", ports[1])) as listener:
        for number in numbers:
            with socket.create_connection(("127.0.0.1", ports[0])) as connection:
                connection.sendall(number.encode())
            answer, _ = listener.accept()
            with answer:
                answers.append((number, answer.recv(_BYTES).decode()))
    return answers


def main() -> None:
    """Runs the client, or a worker."""
    if sys.argv[1] == "worker":
        serve(int(sys.argv[2]), int(sys.argv[3]))
    asked = measuring.request()
    ports = [(int(work), int(result)) for work, result in asked["ports"]]

    def work(numbers: list[str]) -> Iterable[tuple[str, str]]:
        shares = [numbers[each :: len(ports)] for each in range(len(ports))]
        with ThreadPoolExecutor(len(ports)) as threads:
            return [each for part in threads.map(_one_worker, ports, shares) for each in part]

    measuring.measure(asked, work)


if __name__ == "__main__":
    main()
