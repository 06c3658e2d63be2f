"""Stage enumerate_attributes: the teacher names each text's attributes; names are normalised and counted."""

from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.domain import domain_of
from compeffdist.files import write_json
from compeffdist.instructions.attributes import count_attributes
from compeffdist.instructions.enumeration import STAGE, enumerate_attributes
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Attribute, Mention, Text
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    texts = read_records(Path("data/texts.parquet"), Text)
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, STAGE)
        found = enumerate_attributes(texts, params.attributes, domain.attributes, talk)
    attributes, rare = count_attributes(found.mentions, params.attributes.more_than)
    asked = min(params.attributes.texts, len(texts))
    answered = len({mention.text_id for mention in found.mentions})
    names = len({name for mention in found.mentions for name in mention.names})
    write_records(Path("data/mentions.parquet"), Mention, found.mentions)
    write_records(Path("data/attributes.parquet"), Attribute, attributes)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), found.rejects + found.nameless + rare)
    metrics = {
        "records": account(STAGE, asked, answered, found.rejects),
        "mentions": account(STAGE, found.listed, len(found.mentions), found.nameless),
        "vocabulary": account(STAGE, names, len(attributes), rare),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
