"""The exchange's clock: measured to half a round trip, by the most exact answer, whatever happens to our own clocks."""

from cryptomarket.deribit.upstream_clock import UpstreamClock


class Machine:
    """Two clocks of a machine that a test sets."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.monotonic = 50.0
        self.clock = UpstreamClock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def answered(self, exchange_time: float, *, round_trip: float = 0.0) -> None:
        """An answer arrives now, when the exchange's clock shows this; it was sent half a round trip before."""
        us = round((exchange_time - round_trip / 2) * 1e6)
        self.clock.answered(us, self.monotonic - round_trip, self.monotonic)

    def wait(self, seconds: float) -> None:
        """So much time passes."""
        self.wall += seconds
        self.monotonic += seconds


def test_without_an_answer_the_time_is_that_of_this_machine() -> None:
    """Nothing is claimed about the clock before."""
    machine = Machine()
    assert machine.clock.now() == machine.wall
    assert machine.clock.problem == ""


def test_an_answer_tells_the_time_of_the_exchange() -> None:
    """Half the round trip has passed since it was sent."""
    machine = Machine()
    machine.answered(machine.wall + 90, round_trip=4.0)
    machine.wait(10)
    assert machine.clock.now() == machine.wall + 90
    assert machine.clock.problem == "the clock of this machine is 90 s behind the exchange's"


def test_a_delayed_answer_does_not_replace_an_exact_one_soon() -> None:
    """One that took 20 seconds may be wrong by 10; after a minute a usual one replaces the first."""
    machine = Machine()
    machine.answered(machine.wall + 7, round_trip=0.1)
    machine.wait(1)
    machine.answered(machine.wall + 15, round_trip=20.0)
    assert round(machine.clock.behind_seconds, 3) == 7
    machine.wait(60)
    machine.answered(machine.wall + 8, round_trip=0.15)
    assert round(machine.clock.behind_seconds, 3) == 8


def test_setting_the_clock_of_this_machine_is_seen_at_once() -> None:
    """The time of the exchange stays, and the problem is over."""
    machine = Machine()
    machine.answered(machine.wall - 40)
    assert machine.clock.problem == "the clock of this machine is 40 s ahead of the exchange's"
    before = machine.clock.now()
    machine.wall -= 40
    assert machine.clock.now() == before
    assert machine.clock.problem == ""


def test_a_machine_that_slept_measures_again() -> None:
    """The monotonic clock stood still; the first answer on the next connection counts, however late it is."""
    machine = Machine()
    machine.answered(machine.wall)
    machine.wall += 3600
    machine.clock.connection_opened()
    machine.answered(machine.wall, round_trip=2.0)
    assert machine.clock.now() == machine.wall
