"""The training runs of the figures about sparse orthogonal nets, and what their results say."""

import dataclasses
import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from figures.sao import (fig4_7, fig4_8, fig4_10, fig4_11, fig4_14, fig4_15, fig4_18, fig4_19,
                         fig4_21, mlp7_curves, mlps, reallocation, sparse_nets, table4_2, table4_3,
                         table4_4, table4_5, text_mlp1000)
from figures.sao.training_runs import Length, epoch, in_blocks, pruned_at_once, training
from minicaffe import Net, backend, nets
from minicaffe.proto import caffe_pb2, text

PICTURES = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: [2, 1, 32, 32] } } }"""


def layers(run):
    return {layer.name: layer for layer in run.net_param().layer if layer.name not in
            ("mnist", "cifar")}


def on_pictures(param):
    """The Net without data, accuracy and loss, of two random pictures of 32 x 32."""
    bare = text.parse(PICTURES, caffe_pb2.NetParameter)
    bare.layer.extend(layer for layer in param.layer
                      if layer.type not in ("Data", "Accuracy", "SoftmaxWithLoss"))
    net = Net(bare, "TEST", seed=3)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=(2, 1, 32, 32))
    return net


class TestLength:
    def test_words(self):
        assert Length(10).words(100) == "10 of the thesis's 100 epochs"
        assert Length(10).words(10) == Length(10).words() == "10 epochs"
        assert Length(1).words() == "1 epoch" and Length(0, 2).words(90) == "2 iterations"

    def test_training_is_the_schemes_cut_to_length(self):
        run = training("a", nets.mlp7(), "mlp7", Length(9), records=3, tests=2)
        solver = run.solver_param()
        assert epoch("mnist") == 469 and run.iterations == 9 * 469
        assert list(solver.stepvalue) == [3 * 469, 6 * 469]           # 30 and 60 of 90
        assert solver.base_lr == pytest.approx(0.01) and solver.weight_decay == pytest.approx(5e-4)
        assert (run.record, run.test, run.test_batches) == (3 * 469, 2111, 100)
        assert run.isometry and not training("a", nets.mlp7(), "mlp7", Length(9)).isometry
        assert not solver.test_iter and not solver.HasField("random_seed")

    def test_smoke(self):
        run = training("a", nets.mlp7(), "mlp7", Length(0, 2), records=1)
        assert (run.iterations, run.record, run.test, run.test_batches) == (2, 2, 2, 1)


def test_in_blocks_is_the_same_net():
    """The same weights from the same seed; layers that are dense stay as they are."""
    masked = on_pictures(nets.mlp_n(3, "sao", degree=4))
    blocks = on_pictures(in_blocks(nets.mlp_n(3, "sao", degree=4)))
    assert [blocks.layer_dict[f"ip{i}"].type for i in range(1, 6)] == \
        4 * ["SparseOrthogonalInnerProduct"] + ["InnerProduct"]
    for net in masked, blocks:
        net.forward()
    assert abs(masked.blobs["ip5"].data).max() > 0.1
    assert_allclose(blocks.blobs["ip5"].data, masked.blobs["ip5"].data, rtol=1e-4, atol=1e-6)


class TestMLPs:
    @pytest.mark.parametrize("method, begins, sparse", [
        ("Dense", None, None), ("SAO", None, None), ("LMP-S", None, "method: MAGNITUDE"),
        ("GMP-T", "MLP-50 Dense, rate 0.01", "scope: GLOBAL"), ("RG-U", None, None),
        ("RG-T", "MLP-50 Dense, rate 0.01", "degree: 4")])
    def test_methods(self, method, begins, sparse):
        run = mlps.mlp_n(50, method, "full")
        assert (run.begin and run.begin.name) == begins
        assert run.keep_weights == (method == "Dense")
        pruning = run.solver_param().pruning
        assert len(pruning) == (sparse is not None)
        if sparse:
            assert sparse in run.solver and list(pruning[0].leave_out) == ["ip52"]
            assert pruning[0].start_iter == pruning[0].end_iter == 0
        assert run.iterations == 4690 and run.isometry and run.record == 4690

    def test_what_is_sparse_from_the_start(self):
        for method, values in ("SAO", None), ("RG-U", 0), ("RG-N", 1):
            ip = layers(mlps.mlp_n(50, method, "full"))
            filler = ip["ip7"].sparse_orthogonal_inner_product_param.weight_filler
            assert filler.degree == 4 and filler.gain == pytest.approx(1.1)
            assert filler.type == ("sao" if method == "SAO" else "ramanujan")
            assert values is None or filler.values == values
            assert ip["ip52"].inner_product_param.weight_filler.type in ("orthogonal", "xavier")

    def test_sparsity_is_that_of_the_degree(self):
        """Of all hidden layers of MLP-50: 1024-512-256 and 49 times 256 x 256."""
        kept = mlps.DEGREE * (512 + 256 + 49 * 256)
        assert 1 - kept / (1024 * 512 + 512 * 256 + 49 * 256 ** 2) == pytest.approx(
            mlps.SPARSITY, abs=5e-4)

    def test_mlp7_is_pruned_in_all_layers(self):
        run = mlps.mlp7("ReLU", "GMP-T", "full")
        assert not run.solver_param().pruning[0].leave_out
        assert run.iterations == run.begin.iterations == 90 * 469
        dense = mlps.mlp7("ReLU", "Dense", "full")
        assert run.begin == dataclasses.replace(dense, name=run.begin.name)

    def test_depths(self, monkeypatch):
        assert mlps.depths("full") == (50, 200)
        assert mlps.notes("full", 10) == ["N = 50 and 200; the thesis's are 50 to 1000"]
        assert mlps.notes("full", 100)[0] == "scale full: 10 of the thesis's 100 epochs"
        monkeypatch.setattr(backend, "mode", lambda: "gpu")
        assert mlps.depths("full") == (50, 200, 400, 600, 800, 1000)
        assert mlps.notes("full", 10) == []


def test_figures_share_runs():
    for first, second in (fig4_7, fig4_8), (table4_3, fig4_11):
        assert [run.name for run in first.runs("full")] == [run.name for run in second.runs("full")]
        assert {run.net for run in first.runs("full")} == {run.net for run in second.runs("full")}


def test_mlp7_curves_are_by_epoch():
    arrays = {"test_iterations": np.array([0, 938]), "test_accuracy": np.array([0.1, 0.92]),
              "isometry.iterations": np.array([0, 469]), "isometry.mean": np.array([1.0, 1.2]),
              "isometry.variance": np.array([0.0, 0.1])}
    best = {**arrays, "test_accuracy": np.array([0.1, 0.95])}
    numbers = mlp7_curves.measure("full", lambda run: best if "Dense" in run.name else arrays)
    assert_array_equal(numbers["members"][0]["epochs"], [0, 2])
    assert_array_equal(numbers["members"][0]["sv_epochs"], [0, 1])
    rows = {what: (paper, here) for what, paper, here in fig4_7.compare(numbers)}
    assert rows["TanH, SAO minus dense, points"] == ("within 1 point", pytest.approx(-3))
    assert rows["ReLU, Dense, %"] == (None, pytest.approx(95))
    assert ("SiLU: sparse net with the mean nearest to 1", "SAO", "GMP-S") in \
        fig4_8.compare(numbers)


def test_table4_2():
    entries = table4_2.measure("full", lambda run: {"test_accuracy": np.array([0.1, 0.96])})
    rows = {what: (paper, here) for what, paper, here in table4_2.compare(entries)}
    assert rows["N = 200, SAO 1, d = 8, %"] == (97.11, 96) and len(rows) == 12
    assert rows["N = 50, SAO 3, d = 2, %"] == (94.15, 96)
    fillers = {layers(run)["ip5"].sparse_orthogonal_inner_product_param.weight_filler.variant
               for run in table4_2.runs("full")}
    assert fillers == {1, 2, 3}


def test_fig4_10_says_what_trains():
    def load(run):
        if "GMP" in run.name:
            return None
        dead = "LMP" in run.name or "RG-S" in run.name
        return {"test_accuracy": np.array([0.1, 0.11 if dead else 0.9]),
                "isometry.mean": np.array([1.1, 0.9]), "isometry.variance": np.array([0, 0.1])}

    rows = {what: (paper, here) for what, paper, here in
            fig4_10.compare(fig4_10.measure("full", load))}
    assert rows["N = 50, LMP-T: trains"] == ("untrainable", "untrainable")
    assert rows["N = 200, RG-T: trains"] == ("untrainable", "yes")
    assert rows["N = 50, SAO: trains"] == ("yes", "yes")
    assert not any("GMP" in what for what in rows)


def test_mlp1000():
    low, high = text_mlp1000.runs("quick")
    assert "ip1002" in layers(low) and "ip1003" not in layers(low)
    assert low.test == text_mlp1000.runs("full")[0].test == 24
    params = [layers(run)["ip9"].sparse_orthogonal_inner_product_param for run in (low, high)]
    assert [p.weight_filler.gain for p in params] == pytest.approx([1.05, 1.1])
    assert [p.bias_filler.type for p in params] == ["constant", "uniform"]
    first = layers(high)["ip1"].sparse_orthogonal_inner_product_param
    last = layers(high)["ip1002"].inner_product_param
    assert [p.bias_filler.max for p in (first, params[1], last)] == [1 / 32, 1 / 16, 1 / 16]
    assert last.bias_filler.min == -1 / 16
    arrays = {"test_iterations": np.array([0, 24, 48]), "isometry.mean": np.array([1.1, 1]),
              "test_accuracy": np.array([0.1, 0.91, 0.95])}
    rows = text_mlp1000.compare(text_mlp1000.measure("quick", lambda run: arrays))
    assert ("gain 1.05: above 90 % at iteration", None, 24) in rows
    assert ("gain 1.1, random biases: accuracy at the end, %", 96.86, pytest.approx(95)) in rows


def test_weights_of_resource_reallocation():
    """The thesis's numbers, whose sparse nets are a layer deeper than here."""
    assert reallocation.weights(4, "Dense") == pytest.approx(2.43e6, rel=2e-3)
    for n, (*_, paper) in table4_3.PAPER.items():
        if n > 4:
            one_layer = 432 * reallocation.DEGREES[n]
            assert reallocation.weights(n, "SAO") + one_layer == pytest.approx(paper, rel=2.5e-3)
    run = next(run for n, method, run in reallocation.cells("full") if method == "SAO + skip")
    assert any(layer.type == "Eltwise" for layer in run.net_param().layer)


class TestSparseNets:
    def test_pruning_leaves_what_the_sparse_net_leaves_dense(self):
        """The first convolution and the last layer; of LipConvNet the skew orthogonal ones too."""
        lmp = {run.name: run for run in fig4_15.runs("quick")}[
            "N = 32, W = 32 on cifar10, LMP-S 0.875"]
        message, = lmp.solver_param().pruning
        assert list(message.leave_out) == ["conv1", "ip"] and message.unit == message.KERNEL
        rg = next(run for run in fig4_19.runs("quick") if "RG-T" in run.name)
        assert list(rg.solver_param().pruning[0].leave_out) == ["ip"]
        assert rg.begin.name == "LipConvNet-5, W = 16 on cifar10, Dense"

    def test_initialisations(self):
        for figure, kinds in (fig4_14, {"delta_orthogonal", "sao_delta"}), \
                (fig4_21, {"eco", "sao_eco"}):
            found = {layer.convolution_param.weight_filler.type for run in figure.runs("quick")
                     for layer in run.net_param().layer if layer.type == "Convolution"}
            assert found == kinds

    def test_schedules_of_vanilla_cnns(self):
        """Table 3.8 and Section 3.5.3.3."""
        @functools.lru_cache
        def runs(figure):
            return figure.runs("full")

        def solver(figure, start):
            return next(run for run in runs(figure) if run.name.startswith(start)).solver_param()

        for figure, layers, rate, policy, warm_up in (
                (fig4_14, 256, 1e-3, "multistep", 0), (fig4_14, 512, 1e-4, "cosine", 3910),
                (fig4_15, 512, 1e-4, "multistep", 0), (fig4_15, 768, 1e-4, "cosine", 3910),
                (table4_4, 16, 1e-2, "cosine", 391), (table4_5, 8, 1e-2, "cosine", 704)):
            param = solver(figure, f"N = {layers}, ")
            assert (param.lr_policy, param.warmup_iter) == (policy, warm_up)
            assert param.base_lr == pytest.approx(rate)

    def test_data(self):
        for figure, source in (fig4_18, "cifar-100-binary"), (table4_5, "CINIC-10"):
            assert {layer.data_param.source for run in figure.runs("quick")
                    for layer in run.net_param().layer if layer.type == "Data"} == {source}

    def test_papers_numbers_are_found(self):
        entries = table4_4.measure("full", lambda run: {"test_accuracy": np.array([0.01, 0.5])})
        rows = {what: (paper, here) for what, paper, here in table4_4.compare(entries)}
        assert rows["N = 16, W = 128, SAO at 0.75, %"] == (63.47, 50)
        assert rows["N = 8, W = 128, Dense, %"] == (67.35, 50)
        assert all(paper for paper, _ in rows.values()) and len(rows) == 12

    def test_words(self):
        def load(run):
            return {"test_accuracy": np.array([0.1, 0.3 if "SAO" in run.name else 0.1])}

        rows = {what: (paper, here) for what, paper, here in
                fig4_14.compare(fig4_14.measure("quick", load))}
        assert rows["N = 32, W = 32, LMP-S at 0.875: trains"] == ("untrainable", "untrainable")
        assert rows["N = 32, W = 32, SAO at 0.875: trains"] == ("trains", "trains")
        assert rows["N = 32, W = 32, SAO at 0.875, %"] == (None, 30)

    def test_notes(self):
        assert fig4_14.notes("full") == []
        assert fig4_14.notes("quick") == [
            "scale quick: 2 of the thesis's 200 epochs; N = 32, W = 32"]
        assert sparse_nets.CHANCE["cifar100"] < 15


def test_pruned_at_once():
    message, = text.parse(pruned_at_once("RG", ["a", "b"], degree=4),
                          caffe_pb2.SolverParameter).pruning
    assert message.method == message.RAMANUJAN and message.degree == 4
    assert list(message.leave_out) == ["a", "b"]
