"""Some of what a run would buy, bought beforehand: what the rest will take is told by these."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from compeffdist.artefacts import TEACHER
from compeffdist.costs.plan import Planned
from compeffdist.params import Params
from compeffdist.running import STAGE
from compeffdist.teacher.asking import open_teacher


def buy_sample(planned: Sequence[Planned], params: Params, number: int) -> int:
    """Ask some of each stage's unknown questions, `number` in all or as many as there are; how many were asked.

    Nothing is wasted: the run finds the answers in the store. They are drawn by what they ask, so that the same ones
    are drawn again.

    Raises:
        UserError: as asking does.
    """
    waiting = [(one.stage.name, one.asking.unknown) for one in planned if one.asking is not None and one.asking.unknown]
    asked = 0
    if not waiting:
        return asked
    with open_teacher(Path(TEACHER), params) as teacher:
        for place, (stage, unknown) in enumerate(waiting):
            share = (number - asked) // (len(waiting) - place)
            drawn = sorted(unknown, key=lambda request: hashlib.sha256(request.to_json().encode()).digest())[:share]
            token = STAGE.set(stage)
            try:
                teacher.ask(drawn, f"{stage}, a sample")
            finally:
                STAGE.reset(token)
            asked += len(drawn)
    return asked
