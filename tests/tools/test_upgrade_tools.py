import pytest

from minicaffe import cli
from minicaffe.proto import text
from tools import upgrade_net, upgrade_solver


def test_net_and_solver(tmp_path, capsys):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text('layers { name: "r" type: RELU bottom: "a" top: "a" }')
    assert cli.run(upgrade_net.main, [str(old), str(new)]) == 0
    assert text.read_net(new)[0].layer[0].type == "ReLU"
    assert "format V1" in capsys.readouterr().out
    assert cli.run(upgrade_net.main, [str(new), str(new)]) == 0
    assert "in the current form already" in capsys.readouterr().out
    old.write_text("solver_type: ADAM")
    assert cli.run(upgrade_solver.main, [str(old), str(new)]) == 0
    assert new.read_text() == 'type: "Adam"\n'
    assert "solver_type in place of type" in capsys.readouterr().out


@pytest.mark.parametrize("tool", [upgrade_net, upgrade_solver])
def test_bad_input(tool, tmp_path, capsys):
    assert cli.run(tool.main, [str(tmp_path / "none"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: can't be read")
    (tmp_path / "bad").write_text("lyer { }")
    assert cli.run(tool.main, [str(tmp_path / "bad"), str(tmp_path / "out")]) == 1
    assert "bad:1:1: " in capsys.readouterr().err and not (tmp_path / "out").exists()
