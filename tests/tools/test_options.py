"""Options that several tools share, and those of the tools that have no test file of their own."""

import pytest


@pytest.mark.parametrize("text", ["-1", "1.5", "x", ""])
@pytest.mark.parametrize("arguments", [["check_gradients", "n"], ["convert_imageset", "r", "l", "o"]])
def test_seeds_are_whole_numbers_from_0(run_tool, text, arguments):
    result = run_tool(*arguments, "--seed", text)
    assert result.code == 1
    assert f"--seed: must be a whole number from 0 up, not {text} (see" in result.err


def test_compile_proto_takes_its_arguments_from_the_command_minicaffe(run_tool):
    with pytest.raises(SystemExit, match="^error: unrecognized arguments: --what "):
        run_tool("compile_proto", "--what")
