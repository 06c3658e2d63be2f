"""Stage check_tasks: gate of tasks, demonstrations and instructions, before they are paired."""

from pathlib import Path

from compeffdist.gates.running import run_gate
from compeffdist.gates.tasks import look_at_tasks
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.tasks
    guarded = [Path("data/tasks.jsonl"), Path("data/demonstrations.jsonl"), Path("data/instructions.jsonl")]
    run_gate("tasks", bounds.action, guarded, lambda: look_at_tasks(bounds))


if __name__ == "__main__":
    run_stage(main)
