"""What the link knows about the daemon, from its events."""

from typing import Any

from edge.link.state import DOWN, LinkState, after

STATUS: dict[str, Any] = {
    "event": "status",
    "version": "1.0",
    "model": "net",
    "engine": "mxnet",
    "in_view": "cup",
    "in_view_text": "I see a cup",
    "probability": 0.9,
    "camera_up": True,
    "paused": False,
    "teaching": {"name": "Rex", "phase": "thing", "done": 3, "wanted": 10},
    "taught": ["my keys"],
    "something new": 1,
}


def test_a_status_replaces_everything() -> None:
    state = after(LinkState(up=True, sound="no card", snoozed_until="2026-11-27T12:00:00+00:00"), STATUS)
    assert state == LinkState(
        up=True,
        version="1.0",
        model="net",
        engine="mxnet",
        in_view="cup",
        in_view_text="I see a cup",
        probability=0.9,
        camera_up=True,
        teaching="Rex",
        taught=("my keys",),
    )
    assert state.ready


def test_a_daemon_that_starts_is_up_and_not_ready() -> None:
    state = after(DOWN, {"event": "status", "version": "1.0", "pid": 1, "starting": True, "paused": False})
    assert (state.up, state.ready) == (True, False)
    # the status that follows has the camera too
    assert after(state, {"event": "ready", "model": "net", "engine": "mxnet"}) == state
    assert after(state, STATUS).ready


def test_events_change_what_they_tell_and_no_more() -> None:
    state = after(DOWN, STATUS)
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (
            {"event": "announced", "label": "dog", "text": "I see a dog", "probability": 0.97},
            {"in_view": "dog", "in_view_text": "I see a dog", "probability": 0.97, "last_words": "I see a dog"},
        ),
        (
            {"event": "in_view", "label": None, "text": None, "probability": None},
            {"in_view": None, "in_view_text": None, "probability": None},
        ),
        ({"event": "sound", "problem": "no card"}, {"sound": "no card"}),
        ({"event": "snoozed", "until": "2026-11-27T12:00:00+00:00"}, {"snoozed_until": "2026-11-27T12:00:00+00:00"}),
        ({"event": "awake"}, {"snoozed_until": None}),
        ({"event": "spoken", "text": "I see a dog", "heard": True}, {}),
        ({"event": "teaching_ended", "name": "Rex", "learnt": True}, {"teaching": None}),
        ({"event": "taught", "things": ["my keys", "Rex"]}, {"taught": ("Rex", "my keys")}),
        ({"event": "teaching", "name": "the cup", "phase": "empty"}, {"teaching": "the cup"}),
        ({"event": "of a later release", "model": "x"}, {}),
        ({}, {}),
    ]
    for event, change in steps:
        before, state = state, after(state, event)
        assert {name for name in change if getattr(state, name) != change[name]} == set()
        assert {name for name in vars(state) if getattr(state, name) != getattr(before, name)} <= set(change)


def test_a_camera_that_cannot_see_has_nothing_in_view() -> None:
    for event in (
        {"event": "sight", "problem": "The camera is covered."},
        {"event": "camera_lost", "reason": "unplugged"},
        {"event": "paused"},
    ):
        state = after(after(DOWN, STATUS), event)
        assert (state.in_view, state.in_view_text, state.probability) == (None, None, None)
