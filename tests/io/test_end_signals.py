"""Signals that end a block as Ctrl-C does."""

from __future__ import annotations

import os
import signal

import pytest

from mmtk.io.end_signals import end_signals, ended_by_signals


def test_a_block_is_left_in_order_and_handlers_come_back() -> None:
    before, undone = signal.getsignal(signal.SIGTERM), []

    def ended() -> None:
        with ended_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                undone.append(signal.getsignal(signal.SIGTERM))

    with pytest.raises(SystemExit) as caught:
        ended()
    assert caught.value.code == 128 + signal.SIGTERM
    assert undone == [signal.SIG_DFL]  # a second signal ends the process at once
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert end_signals() == [signal.SIGTERM]
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
