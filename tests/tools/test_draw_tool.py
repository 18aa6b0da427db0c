import shutil


def test_text_with_shapes(run_tool, folder):
    result = run_tool("draw_net", "net.prototxt", "net.dot", "--phase", "TRAIN", "--rankdir", "BT")
    assert (result.code, result.out, result.err) == (0, "net.dot\n", "")
    drawn = (folder / "net.dot").read_text()
    assert 'rankdir="BT"' in drawn and r"data\n4 x 1 x 8 x 8" in drawn and r"\n40 parameters" in drawn
    assert "Accuracy" not in drawn
    assert run_tool("draw_net", "net.prototxt", "all.dot").code == 0
    assert "Accuracy" in (folder / "all.dot").read_text()


def test_without_data(run_tool, folder):
    shutil.rmtree("pictures")
    result = run_tool("draw_net", "net.prototxt", "net.dot")
    assert result.code == 0 and result.err.startswith("warning: no shapes in the picture: net.prototxt:")
    assert result.err.count("\n") == 1 and " x " not in (folder / "net.dot").read_text()
    result = run_tool("draw_net", "net.prototxt", "net.dot", "--input", "data=3x1x8x8")
    assert result.code == 0 and result.err == ""
    assert r"data\n3 x 1 x 8 x 8" in (folder / "net.dot").read_text()


def test_bad_input(run_tool, folder):
    for arguments, message in ((["none.prototxt", "x.dot"], "none.prototxt: can't be read"),
                               (["net.prototxt", "x"], "x: the name needs an ending"),
                               (["net.prototxt", "no/x.dot"], "no/x.dot: can't be written"),
                               (["net.prototxt", "x.dot", "--rankdir", "UP"], "invalid choice"),
                               (["net.prototxt", "x.dot", "--input", "ip=3"], "no layer without bottoms")):
        result = run_tool("draw_net", *arguments)
        assert result.code == 1 and result.err.startswith("error: "), result
        assert result.err.count("\n") == 1 and message in result.err
    assert not (folder / "x.dot").exists()


def test_stage_chooses_layers(run_tool, folder):
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("phase: TEST", 'phase: TEST stage: "seen"', 1))
    for stage, count in ((), 0), (("--stage", "seen"), 1):
        result = run_tool("draw_net", "net.prototxt", "net.dot", "--phase", "TEST", *stage)
        assert result.code == 0 and ("warning: no shapes" in result.err) == (not stage)
        assert (folder / "net.dot").read_text().count("Data") == count


def test_an_old_net_is_warned_of_once(run_tool, folder, caplog):
    (folder / "old.prototxt").write_text(
        'input: "data" input_dim: 2 input_dim: 1 input_dim: 8 input_dim: 8 '
        'layers { name: "r" type: RELU bottom: "data" top: "r" }')
    assert run_tool("draw_net", "old.prototxt", "old.dot").code == 0
    assert caplog.text.count("upgraded from an old form") == 1
    assert r"r\n2 x 1 x 8 x 8" in (folder / "old.dot").read_text()
