"""The command `minicaffe`: every script of tools/ is a verb."""

import pathlib
import sys

import pytest

import minicaffe
from minicaffe import __main__ as command
from minicaffe import cli

SCRIPTS = sorted(p.stem for p in (pathlib.Path(__file__).parents[1] / "tools").glob("*.py"))


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["minicaffe"])

    def run(*argv):
        try:
            code = cli.run(command._dispatch, list(argv))
        except SystemExit as end:                       # argparse's --help
            code = end.code
        return code, *capsys.readouterr()
    return run


def test_every_script_is_a_verb_with_a_line(run):
    assert list(command.tools()) == SCRIPTS
    code, out, _ = run("--help")
    lines = out.split("verbs:\n")[1].splitlines()
    assert code == 0 and [line.split()[0] for line in lines] == SCRIPTS
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("argv", [("summary", "--help"), ("help", "summary")])
def test_help_of_a_verb(run, argv):
    code, out, _ = run(*argv)
    assert code == 0 and out.startswith("usage: minicaffe summary")


def test_hyphens_and_errors(run):
    assert run("get-data", "nothing")[0] == 1
    code, _, err = run("fly")
    assert code == 1 and err.startswith("error: unknown verb 'fly': it must be one of bench")


def test_version(run):
    assert run("--version")[:2] == (0, minicaffe.__version__ + "\n")
