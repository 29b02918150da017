"""Dask distributed; as a program it is the client."""

from collections.abc import Iterable

from distributed import Client

from bench.peers import formula, measuring


def main() -> None:
    """Maps the function over the numbers and gathers the results."""
    asked = measuring.request()
    with Client(asked["address"], set_as_default=False) as client:

        def work(numbers: list[str]) -> Iterable[tuple[str, str]]:
            futures = client.map(formula.sha256, numbers, pure=False)
            return zip(numbers, client.gather(futures), strict=True)

        client.wait_for_workers(asked["workers"], timeout=60)
        measuring.measure(asked, work)


if __name__ == "__main__":
    main()
