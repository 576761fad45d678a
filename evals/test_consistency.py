"""Every golden task on every model, asked more than once (`--repeats`): how far do the answers agree?"""

from __future__ import annotations

from evals.judging import Agreed


def test_agreement(agreed: Agreed) -> None:
    """The repeats agree; where they do not, it is data, unless the task sets a floor (`gate.agreement`)."""
    agreed.settle()
