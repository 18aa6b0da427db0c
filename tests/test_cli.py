import os
import subprocess
import sys

import pytest

from minicaffe import cli
from minicaffe.errors import DataError


def raiser(error):
    def main(argv):
        raise error
    return main


@pytest.mark.parametrize("main, code", [(lambda argv: None, 0), (lambda argv: argv, 3),
                                        (raiser(DataError("a is\nbad")), 1), (raiser(KeyboardInterrupt()), 130)])
def test_exit_codes(main, code):
    assert cli.run(main, 3) == code


def test_error_is_one_line(capsys):
    cli.run(raiser(DataError("a is\nbad")))
    assert capsys.readouterr().err == "error: a is bad\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(raiser(ZeroDivisionError()))


@pytest.mark.parametrize("lines", [1, 1000])
def test_reader_that_stops_early(lines):
    code = ("import sys; from minicaffe import cli\n"
            "input()\n"
            f"sys.exit(cli.run(lambda argv: [print('x' * 1000) for _ in range({lines})] and None))")
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], env=buffered, **pipes) as tool:
        tool.stdout.close()
        tool.stdin.write(b"go\n")
        tool.stdin.close()
        assert tool.stderr.read() == b""
    assert tool.returncode == 0


def test_not_enough_memory(capsys):
    assert cli.run(raiser(MemoryError("Unable to allocate 9 TiB"))) == 1
    assert capsys.readouterr().err == "error: not enough memory: Unable to allocate 9 TiB\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("lines", [1, 1000])
def test_stdout_on_a_full_disk(lines):
    code = ("import sys; from minicaffe import cli\n"
            f"sys.exit(cli.run(lambda argv: [print('x' * 1000) for _ in range({lines})] and None))")
    with open("/dev/full", "wb") as full:
        tool = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    assert (tool.returncode, tool.stderr) == (1, b"error: the output: no space left on device\n")
