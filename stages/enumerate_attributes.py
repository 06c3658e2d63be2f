"""Stage enumerate_attributes: the teacher names each text's attributes; names are normalised and counted."""

from compeffdist.accounting import account
from compeffdist.artefacts import ATTRIBUTES, MENTIONS, TEACHER, TEXTS
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.instructions.attributes import count_attributes
from compeffdist.instructions.enumerate_attributes import enumerate_attributes
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def run(given: Given) -> Made:
    params, domain, texts = given.params, stage_domain(given), given[TEXTS]
    with open_teacher(given.path(TEACHER), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        found = enumerate_attributes(texts, params.attributes, domain.attributes, talk)
    attributes, rare = count_attributes(found.mentions, params.attributes.more_than)
    asked = min(params.attributes.texts, len(texts))
    answered = len({mention.text_id for mention in found.mentions})
    names = len({name for mention in found.mentions for name in mention.names})
    return Made(
        {MENTIONS: found.mentions, ATTRIBUTES: attributes},
        metrics={
            "records": account(given.name, asked, answered, found.rejects),
            "mentions": account(given.name, found.listed, len(found.mentions), found.nameless),
            "vocabulary": account(given.name, names, len(attributes), rare),
            "teacher": teacher.usage(),
        },
        rejects=found.rejects + found.nameless + rare,
    )
