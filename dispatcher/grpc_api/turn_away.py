"""Submissions that would wait too long: refused before they are read."""

from typing import Any

from dispatcher.grpc_api import errors
from dispatcher.grpc_server.calls import Arrival
from dispatcher.grpc_server.service import Resolve
from dispatcher.ports import BusyError, ClientDesk, OverloadedError

_METHOD = "/virtscale.v1.LicenseService/SubmitJobs"


class TurnAway:
    """Asks the desk when a call arrives; a refused one is neither parsed nor checked."""

    def __init__(self, desk: ClientDesk) -> None:
        self._desk = desk

    def __call__(self, following: Resolve) -> Resolve:
        """See `grpc_server.service.Service`."""

        def resolve(arrival: Arrival) -> Any:
            if arrival.method == _METHOD:
                try:
                    leave = self._desk.admit()
                except (BusyError, OverloadedError) as error:
                    return errors.refused(error)
                arrival.on_end = lambda code: leave(code == 0)
            return following(arrival)

        return resolve
