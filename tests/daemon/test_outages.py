"""What the log says about a camera that is lost once, again and again, or for several reasons."""

from edge.daemon.outages import STEADY_S, Outages

BUSY, GONE = "stream x: the server is busy", "stream x: nothing listens"


def test_a_loss_and_its_end_have_a_line() -> None:
    outages = Outages()
    assert outages.lost(GONE) == f"{GONE} (edge keeps trying to open it)"
    assert outages.back(10.0)
    assert outages.steady(10.0 + STEADY_S) == ""
    assert outages.lost(GONE)


def test_a_reason_is_said_once_in_a_loss() -> None:
    outages = Outages()
    said = [bool(outages.lost(why)) for why in (GONE, BUSY, GONE, BUSY, GONE)]
    assert said == [True, True, False, False, False]
    assert outages.count == 1
    assert outages.back(0.0)


def test_one_that_is_lost_again_and_again_is_counted() -> None:
    outages = Outages()
    said, back = [], []
    for number in range(1000):
        said.append(outages.lost(GONE if number % 3 else BUSY))
        assert outages.is_quiet == (not said[-1])
        back.append(outages.back(6.0 * number))
        assert outages.steady(6.0 * number + 5.0) == ""
    assert [number for number, line in enumerate(said) if line] == [0, 1, 2]
    assert [number for number, one in enumerate(back) if one] == [0, 1, 2]
    assert "lost again" in said[2]
    assert (
        outages.steady(6.0 * 999 + STEADY_S) == "The camera has worked for 10 minutes; it was lost 1000 times before."
    )
    assert outages.steady(6.0 * 999 + STEADY_S + 1) == ""
    assert not outages.is_quiet
    assert "edge keeps trying" in outages.lost(GONE)


def test_a_loss_that_lasts_is_not_steady() -> None:
    outages = Outages()
    outages.lost(GONE)
    outages.back(0.0)
    outages.lost(GONE)
    assert outages.steady(10 * STEADY_S) == ""


def test_reasons_without_end_do_not_fill_the_log_or_the_memory() -> None:
    outages = Outages()
    assert sum(bool(outages.lost(f"stream x: odd {number}")) for number in range(10_000)) < 100
