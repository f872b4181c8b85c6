"""The state machine: every input in every state is a transition of the table, or a named error."""

from __future__ import annotations

import itertools

import pytest

from quictunnel.errors import ProtocolError
from quictunnel.session.state import IllegalTransitionError, Input, State, StateMachine

PATHS: dict[State, list[Input]] = {
    State.GREETING: [],
    State.REFUSED: [Input.REFUSAL],
    State.ESTABLISHED: [Input.WELCOME],
    State.LEAVING: [Input.WELCOME, Input.GOODBYE],
    State.PEER_LEAVING: [Input.WELCOME, Input.PEER_GOODBYE],
    State.BOTH_LEAVING: [Input.WELCOME, Input.PEER_GOODBYE, Input.GOODBYE],
    State.CLOSE_WHEN_IDLE: [Input.WELCOME, Input.GOODBYE, Input.PEER_EOF, Input.FINISHED],
    State.AWAITING_CLOSE: [Input.WELCOME, Input.PEER_GOODBYE, Input.FINISHED],
    State.CLOSING: [Input.CLOSE],
    State.CLOSED: [Input.LINK_LOST],
}
"""Inputs that lead to each state."""

OK, BUG, VIOLATION = "ok", IllegalTransitionError, ProtocolError

INPUTS = (
    Input.WELCOME,
    Input.REFUSAL,
    Input.GOODBYE,
    Input.CLOSE,
    Input.LINK_LOST,
    Input.PEER_GOODBYE,
    Input.PEER_EOF,
    Input.FINISHED,
)

S = State
EXPECTED = {
    S.GREETING: (
        S.ESTABLISHED,
        S.REFUSED,
        BUG,
        S.CLOSING,
        S.CLOSED,
        VIOLATION,
        VIOLATION,
        VIOLATION,
    ),
    S.REFUSED: (BUG, BUG, BUG, S.CLOSING, S.CLOSED, VIOLATION, OK, S.CLOSE_WHEN_IDLE),
    S.ESTABLISHED: (BUG, BUG, S.LEAVING, S.CLOSING, S.CLOSED, S.PEER_LEAVING, VIOLATION, VIOLATION),
    S.LEAVING: (BUG, BUG, OK, S.CLOSING, S.CLOSED, S.BOTH_LEAVING, OK, S.CLOSE_WHEN_IDLE),
    S.PEER_LEAVING: (BUG, BUG, S.BOTH_LEAVING, S.CLOSING, S.CLOSED, OK, OK, S.AWAITING_CLOSE),
    S.BOTH_LEAVING: (BUG, BUG, OK, S.CLOSING, S.CLOSED, OK, OK, S.CLOSE_WHEN_IDLE),
    S.CLOSE_WHEN_IDLE: (BUG, BUG, OK, S.CLOSING, S.CLOSED, VIOLATION, VIOLATION, VIOLATION),
    S.AWAITING_CLOSE: (
        *(BUG, BUG, S.CLOSE_WHEN_IDLE, S.CLOSING, S.CLOSED),
        *(VIOLATION, VIOLATION, VIOLATION),
    ),
    S.CLOSING: (BUG, BUG, OK, OK, S.CLOSED, OK, OK, OK),
    S.CLOSED: (BUG, BUG, OK, OK, BUG, OK, OK, OK),
}
"""The effect of each input in each state: the next state, none (`OK`), or an error."""


def in_state(state: State) -> StateMachine:
    machine = StateMachine()
    for happened in PATHS[state]:
        machine.apply(happened)
    assert machine.state is state
    return machine


@pytest.mark.parametrize(("state", "happened"), list(itertools.product(State, Input)))
def test_every_input_in_every_state(state, happened):
    expected = EXPECTED[state][INPUTS.index(happened)]
    machine = in_state(state)
    if isinstance(expected, State):
        assert machine.apply(happened) is True
        assert machine.state is expected
    elif expected is OK:
        assert machine.apply(happened) is False
        assert machine.state is state
    else:
        with pytest.raises(expected):
            machine.apply(happened)
        assert machine.state is state


def test_an_error_names_the_input_and_the_state():
    with pytest.raises(ProtocolError, match=r"^goodbye in state 'greeting'$"):
        StateMachine().apply(Input.PEER_GOODBYE)


def test_every_state_leads_to_the_end():
    for state in State:
        machine = in_state(state)
        if state is not State.CLOSED:
            machine.apply(Input.LINK_LOST)
        assert machine.state.is_over


def test_no_state_is_entered_again_after_it_was_left():
    order = list(State)
    for state, happened in itertools.product(State, Input):
        after = EXPECTED[state][INPUTS.index(happened)]
        if isinstance(after, State):
            assert order.index(after) > order.index(state)
