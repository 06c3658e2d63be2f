"""Stage write_demonstrations: worked examples of each task, and the instruction text as models see it."""

from compeffdist.accounting import account
from compeffdist.artefacts import DEMONSTRATIONS, INSTRUCTIONS, TASKS, TEACHER, TEXTS
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.instructions.write_demonstrations import (
    INSTANCES,
    build_instructions,
    is_demonstrated,
    write_demonstrations,
)
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def run(given: Given) -> Made:
    params, domain, tasks = given.params, stage_domain(given), given[TASKS]
    with open_teacher(given.path(TEACHER), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        demonstrations, rejects = write_demonstrations(
            tasks, given[TEXTS], params.demonstrations, domain.demonstrations, talk
        )
    instructions = build_instructions(tasks, demonstrations, params.demonstrations, params.seed)
    asked = sum(is_demonstrated(task) for task in tasks) * params.demonstrations.calls * INSTANCES
    shown = {shown_id for instruction in instructions for shown_id in instruction.demonstration_ids}
    return Made(
        {DEMONSTRATIONS: demonstrations, INSTRUCTIONS: instructions},
        metrics={
            "records": account(given.name, asked, len(demonstrations), rejects),
            "instructions": len(instructions),
            "demonstrations_shown": len(shown),
            "teacher": teacher.usage(),
        },
        rejects=rejects,
    )
