"""Stage generate_tasks: from each perspective, analysis prompts and fully defined tasks; near-duplicates dropped."""

from collections import Counter

from compeffdist.accounting import account
from compeffdist.artefacts import ATTRIBUTES, CLUSTERS, TASKS, TEACHER
from compeffdist.domain import stage_domain
from compeffdist.embedding import stage_embedder
from compeffdist.given import Given, Made
from compeffdist.instructions.generate_tasks import generate_tasks, tasks_asked
from compeffdist.records import by_id
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def run(given: Given) -> Made:
    params, domain = given.params, stage_domain(given)
    perspectives, attributes = given[CLUSTERS], by_id(given[ATTRIBUTES])
    with open_teacher(given.path(TEACHER), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        tasks, rejects = generate_tasks(perspectives, attributes, params.tasks, domain, talk, stage_embedder(given))
    return Made(
        {TASKS: tasks},
        metrics={
            "records": account(given.name, tasks_asked(perspectives, params.tasks), len(tasks), rejects),
            "types": dict(sorted(Counter(task.type for task in tasks).items())),
            "perspectives_with_tasks": len({task.perspective_id for task in tasks if task.perspective_id}),
            "teacher": teacher.usage(),
        },
        rejects=rejects,
    )
