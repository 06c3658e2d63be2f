"""How fast a student writes: the library's own loop, and ours; same prompts, model, dtype and threads.

    python bench/answers.py [--model models/student] [--question "…"] [--rows 48] [--threads 1]

library  transformers' `generate`: every row of a batch is read until the last has ended; a batch's prompts and answers
         come to `token_budget` tokens
leaving  the same batches, from which rows leave as they end
held     as the student is asked: rows leave, and a batch is as large as `decoding.answer_batches` has it

Texts are movie reviews of the package corpus. The ways take turns, --repeat times; medians are compared. On a busy
machine compare seconds of CPU with --threads 1: they are what the ratios in brackets are of.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from real_rows import student_folder

from compeffdist.domain import domain_of
from compeffdist.formatting import encode_prompt, end_token_id
from compeffdist.models import cache_folder
from compeffdist.params import load_params
from compeffdist.prompting import with_input
from compeffdist.student.batching import batches
from compeffdist.student.decoding import answer_batches, greedy_tokens, library_tokens
from compeffdist.student.loading import load_student
from compeffdist.texts.corpora import load_corpus

CORPUS = "imdb-reviews"
LONGEST = 160
"""Characters of a text."""
QUESTION = "Say in a few words what the text is about."
ANSWER_TOKENS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, help="a folder of weights; without it the default base student")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    params = load_params()
    budget, folder = params.runtime.token_budget, cache_folder(params.runtime.cache)
    model, tokenizer = load_student(arguments.model or student_folder(), "cpu")
    texts = [row.text[:LONGEST] for row in load_corpus(CORPUS, "all", folder)][: arguments.rows]
    system = domain_of(params).system_prompts.student
    rows = [encode_prompt(tokenizer, system, with_input(arguments.question, text)) for text in texts]
    end = end_token_id(tokenizer)

    lengths = [len(row) for row in rows]

    def by_batch(answer: Callable[[list[list[int]]], list[list[int]]], planned: Iterable[list[int]]) -> list[list[int]]:
        answers: list[list[int]] = [[] for _ in rows]
        for batch in planned:
            found = answer([rows[index] for index in batch])
            for index, ids in zip(batch, found, strict=True):
                answers[index] = ids
        return answers

    def library(prompts: list[list[int]]) -> list[list[int]]:
        return library_tokens(model, prompts, ANSWER_TOKENS, end)

    def ours(prompts: list[list[int]]) -> list[list[int]]:
        return greedy_tokens(model, prompts, ANSWER_TOKENS, end)

    whole = [length + ANSWER_TOKENS for length in lengths]
    ways = {
        "library": lambda: by_batch(library, batches(whole, budget)),
        "leaving": lambda: by_batch(ours, batches(whole, budget)),
        "held": lambda: by_batch(ours, answer_batches(lengths, ANSWER_TOKENS, budget)),
    }
    compare(ways, arguments.repeat)


def compare(ways: dict[str, Callable[[], list[list[int]]]], repeat: int) -> None:
    """Time the ways in turn; print seconds, ratios to the first, and how many answers are those of the first."""
    walls: dict[str, list[float]] = {name: [] for name in ways}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Sequence[Sequence[int]]] = {}
    for _ in range(repeat):
        for name, work in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            answers[name] = work()
            walls[name].append(time.perf_counter() - wall)
            seconds[name].append(time.process_time() - cpu)
    first, *_ = ways
    lengths = [len(answer) for answer in answers[first]]
    middle = statistics.median(lengths)
    print(f"{len(lengths)} answers of {middle:g} tokens in the middle, the longest {max(lengths)}")
    for name in ways:
        wall, cpu = statistics.median(walls[name]), statistics.median(seconds[name])
        ratio = statistics.median(walls[first]) / wall, statistics.median(seconds[first]) / cpu
        alike = sum(a == b for a, b in zip(answers[first], answers[name], strict=True))
        told = (
            f"{wall:6.1f} s, {cpu:6.1f} s of CPU, {ratio[0]:.2f} times {first} [{ratio[1]:.2f}], {alike} answers alike"
        )
        print(f"{name:8} {told}")


if __name__ == "__main__":
    main()
