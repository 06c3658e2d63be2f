"""A person withdraws a text: what it went into, what must go, and what has to be run again.

Forgetting takes three steps, which only together are complete:

1. `compeffdist forget ID` records the withdrawal and removes from the response store, and from the records of
   `runtime.recorded`, every answer whose question or wording holds the text, or what only this text gave rise to;
2. `dvc repro` makes the data and the student again without it. Answers to all other questions are in the
   store still, so only what truly changed is bought;
3. `compeffdist forget ID --purge` removes what older states of the data and older versions still hold
   (`lineage.purge`).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compeffdist.artefacts import ANSWERED, DEMONSTRATIONS, MENTIONS, REJECTS, TASKS, TEXTS, records_at
from compeffdist.errors import UserError, one_line
from compeffdist.exchange.questions import Questions
from compeffdist.git import Git, NoRepository
from compeffdist.lineage.purge import Holding, holdings, purge, unlooked
from compeffdist.lineage.repository import WORKSPACE, Repository
from compeffdist.lineage.snapshot import Snapshot, snapshots_of
from compeffdist.lineage.versions import Version
from compeffdist.prompting import clipped, inline
from compeffdist.records import Text
from compeffdist.stage_notes import forget_errors
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import ANSWERS, AnswerRecord, keys_in, remove_answers
from compeffdist.teacher.store import ResponseStore, json_forms, stored_keys
from compeffdist.texts.withdrawals import WITHDRAWALS, withdraw, withdrawn_ids

INGEST_REJECTS = f"{REJECTS}ingest_texts.parquet"
NEEDLE_CHARACTERS = 40
"""This much of a text's beginning is looked for in questions: none quotes less of one that is longer."""


@dataclass(frozen=True)
class Plan:
    """What a withdrawal means, before anything is done."""

    text_id: str
    withdrawn_before: bool
    source: str
    """Name of the source that still has the text; empty if no state of the data on this machine does."""
    source_row: str
    records: dict[str, int]
    """Records made from it in the working folder's data, by kind."""
    stages: tuple[str, ...]
    """Stages whose artefacts hold it now and so are run again."""
    answers: tuple[str, ...]
    """Keys of stored answers that go."""
    recorded: dict[str, tuple[str, ...]]
    """By record of `runtime.recorded`, keys of the answers that go from it."""
    former: tuple[str, ...]
    """Files of these records in git's history that hold such answers: no purge reaches them."""
    holdings: tuple[Holding, ...]
    """Everything else that holds it."""
    cuts: tuple[str, ...] = ()
    """Other ids of its row of the source, in states of the data where it was cut elsewhere."""
    stand_ins: tuple[str, ...] = ()
    """Ids of near-duplicates that were left out of the working folder's data for it, and may now be taken."""
    unseen: tuple[str, ...] = ()
    """States of the data whose texts are not on this machine: whether they hold it cannot be told."""
    unlooked: tuple[str, ...] = ()
    """What could not be looked into, one line each: nobody can say that the text is held nowhere."""
    unasked: tuple[str, ...] = ()
    """Stages whose questions cannot be told, each with the reason: a record may keep answers to those on the text."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        fields = asdict(self) | {"source": f"{self.source}:{self.source_row}" if self.source else ""}
        del fields["source_row"]
        return fields


class Forgetting:
    """Withdraws texts from the checkout in `repository`.

    Args:
        whole_ids: of a text's id and its source, the ids of the whole contents it was cut from (`texts.ingest`).
        questions: gives the questions of the working folder's data, to search in place of those that records of
            answers do not have; called if there are records.
        unlooked: what could not be looked into, one line each, besides what is found so here.
    """

    def __init__(
        self,
        repository: Repository,
        versions: Sequence[Version],
        known: KnownAnswers,
        whole_ids: Callable[[str, str], list[str]],
        questions: Callable[[], Questions],
        unlooked: Sequence[str] = (),
    ) -> None:
        self.repository, self.versions, self.records = repository, versions, known.records
        self.store = known.store if known.store and known.store.exists() else None
        self.whole_ids, self.questions, self.unlooked = whole_ids, questions, unlooked
        self.snapshots = snapshots_of(repository)

    def plan(self, text_id: str) -> Plan:
        """What withdrawing a text would do. Raises UserError if no state of the data has a text of that id and it was
        not withdrawn before."""
        holding = [snapshot for snapshot in self.snapshots if _text(snapshot, text_id)]
        before = text_id in withdrawn_ids(self.repository.root / WITHDRAWALS)
        unseen = [s.lock.places[0] for s in self.snapshots if s.lock.md5(TEXTS) and s.table(TEXTS) is None]
        if not holding and not before:
            lack = f"; of {len(unseen)} states the texts are not here, and a remote may have them"
            hint = f"{lack} (dvc fetch --all-commits)" if unseen else ""
            raise UserError(
                f"{one_line(text_id, 80)}: no such text in the working folder's data or in any state known to git; "
                f"find its id in {TEXTS}{hint}"
            )
        text = _text(holding[0], text_id) if holding else None
        current = next((snapshot for snapshot in holding if WORKSPACE in snapshot.lock.places), None)
        reached = current.made_of(text_id) if current else {}
        kinds = Counter(records_at(path).kind.PREFIX for path in reached.values())
        asked, unasked = self._asked()
        answers = self._answers(holding, text_id, asked)
        makers = dict.fromkeys(current.lock.makers[path] for path in current.paths_with(reached)) if current else {}
        return Plan(
            text_id=text_id,
            withdrawn_before=before,
            source=text.source if text else "",
            source_row=text.source_row if text else "",
            records=dict(kinds),
            stages=tuple(makers),
            answers=tuple(sorted(answers & stored_keys(self.store))) if self.store else (),
            recorded={
                str(record.folder): tuple(sorted(found)) for record in self.records if (found := answers & record.keys)
            },
            former=tuple(former_records(self.records, answers)),
            holdings=tuple(holdings(self.repository, self.snapshots, self.versions, text_id, text)),
            cuts=tuple(self._cuts(text)) if text else (),
            stand_ins=tuple(_left_out_for(current, text_id)) if current else (),
            unseen=tuple(unseen),
            unlooked=(*self.unlooked, *unlooked(self.repository, self.snapshots, self.versions, text_id)),
            unasked=tuple(unasked),
        )

    def apply(self, plan: Plan) -> str:
        """Record the withdrawal and remove the answers from the store and from records, and from the stages' notes why
        any failed; a line on what could not be recorded, as a rule empty.

        A source that cannot be read does not stop a withdrawal: the text's own id is recorded all the same.
        """
        trouble = ""
        if not plan.withdrawn_before:
            try:
                whole = self.whole_ids(plan.text_id, plan.source)
            except UserError as error:
                whole = []
                trouble = (
                    f"its source cannot be read ({error}): should texts.max_characters change while the source still "
                    "has the text, it comes back under another id"
                )
            withdraw(plan.text_id, self.repository.root / WITHDRAWALS, whole)
        if plan.answers and self.store:
            with ResponseStore(self.store) as store:
                store.delete(plan.answers)
        for record in self.records:
            if keys := plan.recorded.get(str(record.folder)):
                remove_answers(record, keys)
        forget_errors(self.repository.root)
        return trouble

    def purge(self, plan: Plan) -> list[Holding]:
        """Remove what older states hold; what was removed. Raises UserError if the working folder's data still holds
        the text: it must be made again first."""
        if plan.records:
            raise UserError("the working folder's data still holds the text; run dvc repro, then purge")
        return purge(self.repository, plan.holdings)

    def _cuts(self, text: Text) -> list[str]:
        """Ids of what else was made of the text's row: as `texts.max_characters` was, one of them begins the other."""
        found: set[str] = set()
        for snapshot in self.snapshots:
            rows = snapshot.values(TEXTS, "id", "source_row", [text.source_row])
            others = [node.record for node in snapshot.nodes(dict.fromkeys(rows, TEXTS)).values()]
            for other in others:
                if isinstance(other, Text) and other.source == text.source and other.id != text.id:
                    shorter, longer = sorted((other.text, text.text), key=len)
                    found.update([other.id] if longer.startswith(shorter) else [])
        return sorted(found)

    def _asked(self) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """By key, the JSON of each question of the working folder's data and of its answer, and the stages whose
        questions cannot be told. Nothing where there is no record: the store has its questions."""
        if not self.records:
            return {}, []
        try:
            questions = self.questions()
        except UserError as error:
            return {}, [one_line(error, 200)]
        answers = {key: answer.to_json() for key, answer in questions.answers.items()}
        asked = {key: (request.to_json(), answers.get(key, "")) for key, request in questions.requests.items()}
        return asked, [f"{stage}: {why}" for stage, why in questions.unknown.items()]

    def _answers(self, holding: Sequence[Snapshot], text_id: str, asked: Mapping[str, tuple[str, str]]) -> set[str]:
        """Keys of the answers, stored or recorded, that the text is in, or that only it gave rise to.

        Args:
            asked: by key, the JSON of a question and of its answer, for those that are in no store.
        """
        keys: set[str] = set()
        others: set[tuple[str, str]] = set()
        for snapshot in holding:
            own = set(_answers_on(snapshot, text_id))
            keys |= own
            others.update((key, task) for key, task in _written_on(snapshot) if key not in own)
        with self._searched(asked) as holding_it:
            for text in {text.id: text for s in holding if (text := _text(s, text_id))}.values():
                found = holding_it(needle_of(text))
                keys.update(key for key, question in found.items() if quoted(text, question))
            for phrase in sorted({phrase for snapshot in holding for phrase in phrases(snapshot, text_id)}):
                told = holding_it(phrase).keys()
                # words that stand in questions on other texts are the question's own, such as its example, unless
                # they came into them with a task that was written of this text
                keys |= set() if any(key in told and phrase not in task for key, task in others) else told
        return keys

    @contextmanager
    def _searched(self, asked: Mapping[str, tuple[str, str]]) -> Iterator[Callable[[str], dict[str, str]]]:
        """Of a string, the keys of all answers that hold it in question or answer, each with its question (empty where
        that is unknown)."""
        with ExitStack() as stack:
            store = stack.enter_context(ResponseStore(self.store)) if self.store else None
            recorded = {key: row.answer for record in self.records for key, row in record.rows().items()}
            known = {**asked, **{key: (asked.get(key, ("", ""))[0], answer) for key, answer in recorded.items()}}

            def holding_it(needle: str) -> dict[str, str]:
                forms = json_forms(needle)
                found = {
                    key: question
                    for key, (question, answer) in known.items()
                    if any(form in question or form in answer for form in forms)
                }
                if store is not None:
                    stored = store.rows(store.keys_holding(needle))
                    found |= {key: row.request or found.get(key, "") for key, row in stored.items()}
                return {key: json.loads(question)["prompt"] if question else "" for key, question in found.items()}

            yield holding_it


def former_records(records: Sequence[AnswerRecord], keys: Set[str]) -> Iterator[str]:
    """`FILE of commit HASH` for each committed file of a record that holds one of these answers, the newest first. A
    record may lie beside the project, or in a repository of its own. Raises UserError as `git.run_git`, but for a
    record that lies in no repository.
    """
    for record in records if keys else ():
        folder = Path(record.folder).absolute()
        history = Git(folder)
        try:
            commits = [commit for commit, _ in history.commits_of(ANSWERS)] if folder.is_dir() else []
        except NoRepository:
            continue
        for (commit, _), content in history.files_at((commit, ANSWERS) for commit in commits).items():
            if content is not None and keys_in(content) & keys:
                yield f"{record.folder / ANSWERS} of commit {commit[:10]}"


def phrases(snapshot: Snapshot, text_id: str) -> list[str]:
    """Descriptions and values of three words or more that the teacher wrote on this text alone: they betray it in
    later questions, where a description stands with its full stop or without."""
    own, others = set[str](), set[str]()
    fields = (snapshot.values(MENTIONS, field) for field in ("text_id", "description", "value"))
    for mentioned, *said in zip(*fields, strict=True):
        # a word or two may stand anywhere
        long = [phrase.rstrip(".") for phrase in said if len(phrase.split()) > 2]
        (own if mentioned == text_id else others).update(long)
    return sorted(own - others)


def needle_of(text: Text) -> str:
    """What of a text is looked for in questions, where it stands as `inline` writes it."""
    written = inline(text.text)
    if len(written) <= NEEDLE_CHARACTERS:
        return written + "\n"
    beginning = clipped(written, NEEDLE_CHARACTERS)
    # a word or two before a long one, as before an address, would be found in every question
    return beginning if len(beginning) >= NEEDLE_CHARACTERS // 2 else written[:NEEDLE_CHARACTERS]


def quoted(text: Text, question: str) -> bool:
    """Whether a question that `needle_of` the text was found for, in it or in its answer, is on that text and not on
    another that begins the same: it goes on as the text does, up to a line's end if it was clipped."""
    written, needle = inline(text.text), needle_of(text)
    starts = [match.start() for match in re.finditer(re.escape(needle), question)]
    lines = (question[start : start + len(written)].partition("\n")[0] for start in starts)
    return not starts or any(written.startswith(line) for line in lines)


def _text(snapshot: Snapshot, text_id: str) -> Text | None:
    node = snapshot.nodes({text_id: TEXTS}).get(text_id)
    return node.record if node and isinstance(node.record, Text) else None


def _left_out_for(snapshot: Snapshot, text_id: str) -> list[str]:
    """Ids of the texts that were rejected as near-duplicates of a text, which their rejects name."""
    fields = (snapshot.values(INGEST_REJECTS, field) for field in ("record_id", "reason", "detail"))
    return sorted(
        key for key, why, detail in zip(*fields, strict=True) if why == "near_duplicate" and text_id in detail.split()
    )


def _answers_on(snapshot: Snapshot, text_id: str) -> Iterator[str]:
    """Keys of the answers behind records on this text. A task or instruction stands on many texts; its answers go
    only if a needle finds the text in them."""
    for path in ANSWERED:
        naming = "reference_text_ids" if path == DEMONSTRATIONS else "text_id"
        yield from snapshot.values(path, "answer_id", naming, [text_id])


def _written_on(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Keys of the answers whose questions quote user texts, attributes and demonstrations in their style, each with the
    description of the task that its question states."""
    yield from ((key, "") for key in snapshot.values(MENTIONS, "answer_id"))
    tasks = dict(zip(snapshot.values(TASKS, "id"), snapshot.values(TASKS, "description"), strict=True))
    told = zip(snapshot.values(DEMONSTRATIONS, "answer_id"), snapshot.values(DEMONSTRATIONS, "task_id"), strict=True)
    yield from ((key, tasks.get(task, "")) for key, task in told)
