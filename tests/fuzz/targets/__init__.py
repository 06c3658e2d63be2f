"""Every reader of input that somebody else wrote, a target each; a room a module."""

from tests.fuzz.targets import answers, archives, models, pages, prompts, records, settings, stores, tables, texts

TARGETS = tuple(
    target
    for room in (texts, tables, settings, records, stores, answers, models, archives, prompts, pages)
    for target in room.TARGETS
)
