def test_table_and_totals(run_tool, folder):
    result = run_tool("summary", "net.prototxt")
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert lines[0].split() == ["layer", "type", "top", "shape", "parameters", "multiply-adds", "bytes"]
    conv = next(line for line in lines if line.startswith("conv "))
    assert conv.split() == ["conv", "Convolution", "conv", *"5 x 4 x 6 x 6".split(), "40", "6,480", "2,880"]
    assert "parameters     151 (604 bytes)" in lines
    assert "multiply-adds  7,020 a forward pass of a batch of 5, 1,404 each" in lines


def test_without_data_and_with_weights(run_tool, train, folder):
    assert train().code == 0
    (folder / "pictures" / "train-images-idx3-ubyte").unlink()
    result = run_tool("summary", "net.prototxt", "out/net_iter_8.caffemodel", "--phase", "TRAIN",
                      "--input", "data=2x1x8x8")
    assert result.code == 0 and result.err == "" and "2 x 4 x 6 x 6" in result.out
    result = run_tool("summary", "net.prototxt", "out/net_iter_8.caffemodel", "--input", "data=2x3x8x8")
    assert result.code == 1 and result.err.startswith("error: ") and "conv" in result.err


def test_bad_input(run_tool, folder):
    for arguments, message in ((["none.prototxt"], "none.prototxt: can't be read"),
                               (["net.prototxt", "none.caffemodel"], "none.caffemodel: can't be read"),
                               (["net.prototxt", "--input", "data"], "'data' is not of the form"),
                               (["net.prototxt", "--input", "ip=3x3"], "no layer without bottoms makes 'ip'")):
        result = run_tool("summary", *arguments)
        assert result.code == 1 and result.out == ""
        assert result.err.startswith("error: ") and result.err.count("\n") == 1 and message in result.err


def test_stage_chooses_layers(run_tool, folder):
    """A net that has data only in one of two stages, as autoencoders' files have."""
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("phase: TEST", 'phase: TEST stage: "seen"', 1))
    assert run_tool("summary", "net.prototxt").code == 1
    result = run_tool("summary", "net.prototxt", "--stage", "seen", "--stage", "other")
    assert result.code == 0 and result.err == "" and "5 x 4 x 6 x 6" in result.out


def test_level_chooses_layers(run_tool, folder):
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace("phase: TEST", "phase: TEST min_level: 2", 1))
    assert run_tool("summary", "net.prototxt", "--level", "1").code == 1
    assert run_tool("summary", "net.prototxt", "--level", "2").code == 0
