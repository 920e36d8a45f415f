"""A wait that doubles, and begins anew when something has worked."""

from edge.host.backoff import Backoff


def test_it_doubles_up_to_the_longest_and_begins_anew() -> None:
    backoff = Backoff(0.5, 5.0)
    assert [backoff.double() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.wait_s == 0.5
    assert (backoff.double(), backoff.wait_s) == (0.5, 1.0)
