"""Options of the simulations."""


def pytest_addoption(parser):
    parser.addoption("--dispatch-seed", type=int, default=None, help="repeat this run only")
