"""What accelerate makes of the configurations that processes of a training are started by."""

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from compeffdist.student.launcher import COPIES, DIVIDED


def environment_of(configuration: str) -> dict[str, str]:
    """What a process is told by accelerate's launcher."""
    command = ["--config_file", configuration, "--num_processes", "4", "--module", "a.module"]
    arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(command))
    return dict(prepare_multi_gpu_env(arguments))


def test_divided_weights_are_those_of_whole_layers_and_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(str(DIVIDED)).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    assert not plugin.cpu_ram_efficient_loading and not plugin.activation_checkpointing


def test_copies_are_not_divided() -> None:
    told = environment_of(str(COPIES))
    assert "ACCELERATE_USE_FSDP" not in told and not any(name.startswith("FSDP_") for name in told)
