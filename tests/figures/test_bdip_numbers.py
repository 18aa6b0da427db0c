"""The arithmetic of the block diagonal paper's figures, on made-up runs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from figures.bdip import (common, fig1, fig2, fig3, fig4, fig5, fig6, pruned, sister_plots,
                          sisters, table1, text_compression, text_ip2_blocks, text_rate_steps,
                          text_readings, text_small_nets, text_step)
from figures.frame import timing
from minicaffe.analysis import plot_style
from minicaffe.analysis.spectra import random_matrix, singular_values
from minicaffe.proto import caffe_pb2, text

FAMILY = common.Family("a net", (1, 2, 4), lambda b, scale: b, (60, 40), 4)


def made_up(b, seed, factor=1.0):
    """A run of FAMILY's: blocks of variance 2 b factor at the end, half of it at the start."""
    blocks = random_matrix((b, 40 // b, 60 // b), 2 * b * factor, np.random.default_rng(seed))
    values = singular_values(blocks)
    return {"record_iterations": np.array([0, 10]), "ip1.variance": np.array([b, 2 * b * factor]),
            "ip1.singular_values": np.stack([values / np.sqrt(2), values])}


@pytest.fixture
def found():
    return {b: made_up(b, seed=b) for b in (1, 2, 4)}


class TestSisters:
    def test_ratios(self, found):
        ratios = sisters.variance_ratios(sisters.variances(found))
        assert set(ratios) == {2, 4}
        assert_allclose(ratios[4], [4, 4])

    def test_singular_values_beside_one_random_matrix(self, found):
        spectra = sisters.final_spectra(FAMILY, found)
        assert spectra["variance"] == 2
        assert_allclose((spectra["random"] ** 2).sum() / (60 * 40), 2, rtol=0.05)
        assert_allclose([m["singular_values"] for m in spectra["members"]][2],
                        found[4]["ip1.singular_values"][1])

    def test_distance_is_from_r_of_the_variance_then(self, found):
        numbers = sisters.distances(FAMILY, found)
        random = sisters.random_values((60, 40), 2.0)
        for member in numbers["members"]:
            values = found[member["blocks"]]["ip1.singular_values"][1]
            expected = np.mean(np.abs(1 - values / random))
            assert_allclose(member["distance"], [expected, expected], rtol=1e-6)
        assert numbers["members"][0]["distance"][1] < 0.15

    def test_density_counts_the_zeros(self, found):
        numbers = sisters.density(FAMILY, found)
        widths = np.diff(numbers["edges"])
        assert_allclose(numbers["mass_at_zero"], 1 / 3)
        for name in "W", "R":
            inside = (np.asarray(numbers[name]) * widths).sum()
            assert abs(inside + numbers["outside"][name] - 2 / 3) < 0.03
        assert_allclose(numbers["law_edges"], 2 * (1 + np.array([-1, 1]) * np.sqrt(1.5)) ** 2)

    def test_density_tells_weights_from_random_ones(self, found):
        (_, _, here), _ = sisters.compare_density(sisters.density(FAMILY, found))
        strong = made_up(1, seed=1, factor=9)
        strong["ip1.variance"][-1] = 2
        numbers = sisters.density(FAMILY, {1: strong})
        (_, _, there), (_, _, outside) = sisters.compare_density(numbers)
        assert there > 2 * here and outside > 0.3

    def test_smoke_takes_the_ends(self):
        assert sisters.blocks_of(FAMILY._replace(blocks=(1, 2, 5, 10)), "smoke") == (1, 2, 10)
        assert sisters.blocks_of(FAMILY._replace(blocks=(1,)), "smoke") == (1,)


def test_fig6_top_ratio_has_the_variance_taken_out():
    unit = sisters.random_values((800, 500), 1.0)
    arrays = {"record_iterations": np.array([0, 1000]), "ip1.variance": np.array([4.0, 9.0]),
              "ip1.singular_values": np.stack([2 * unit, 4.5 * unit])}
    assert_allclose(fig6.top_ratios(arrays)["ratio"], [1, 1.5])


def test_fig4_and_fig5():
    arrays = {"test_iterations": np.array([0, 5, 9]), "test_accuracy": np.array([0.1, 0.5, 0.6]),
              "train_accuracy": np.array([0.1, 0.4, 0.9]), "final_train_accuracy": np.float64(0.8)}
    numbers = fig4.measure("full", lambda run: arrays if "(1,1)" in run.name else None)
    assert_allclose(fig4.gaps(numbers)[1], [-10, 20])
    assert_allclose(fig5.quotients(numbers)[1], [np.nan, 3])
    assert ("train accuracy, one block, %", 83.32, pytest.approx(80)) in fig4.compare(numbers)


def test_labels_of_near_values_are_moved_apart():
    figure = plot_style.new_figure(5, 3)
    axes = figure.subplots()
    axes.set_ylim(0, 10)
    for value in 1.02, 5.0, 1.0, 1.01:
        axes.annotate(str(value), (0.5, value), xytext=(4, 0), textcoords="offset points")
    sister_plots.separate_labels(axes)
    figure.draw_without_rendering()
    labels = sorted(axes.texts, key=lambda label: label.xy[1])
    heights = [label.get_window_extent().y0 * 72 / figure.dpi for label in labels]
    assert np.diff(heights)[:2].min() > 10 and labels[0].get_position() == (4, 0)
    assert labels[-1].get_position() == (4, 0)                # far from all others: stays


def test_table1_takes_means_of_the_seeds_that_are_done():
    accuracy = {"seed 1": 0.98, "seed 2": 0.99}

    def load(run):
        last = next((value for seed, value in accuracy.items() if run.name.endswith(seed)), None)
        return None if last is None else table1.summary({"test_accuracy": np.array([0, last])})

    entries = table1.measure("full", load)["entries"]
    shuffled = next(e for e in entries if e["blocks"] == (10, 1) and e["method"] == "shuffled")
    assert shuffled["mean"] == pytest.approx(98.5) and shuffled["paper"] == 98.81
    assert len(shuffled["accuracies"]) == 2
    rows = {what: (paper, here) for what, paper, here in table1.compare({"entries": entries})}
    assert rows["MNIST (10,1)-BD4 shuffled, % (2 seeds)"] == (98.81, pytest.approx(98.5))


def test_text_step_and_ip2():
    arrays = {f"{layer}.{term}": np.array([0.0, 2.0, -8.0]) for layer in ("ip1", "ip2")
              for term in ("iterations", "covariance_term", "measured")}
    arrays |= {f"{layer}.gradient_term": np.array([1.0, 1.0, 2.0]) for layer in ("ip1", "ip2")}
    assert text_step.compare(text_step.measure("full", lambda run: arrays))[0][2] == 2
    ratios = text_ip2_blocks.measure("smoke", lambda run: text_ip2_blocks.summary({
        "ip1.variance": np.array([9, 3.0 if "(1,1)" in run.name else 3.3])}))["ratios"]
    assert [r["ratio"] for r in ratios] == pytest.approx([1.1, 1.1])


def test_text_rate_steps_and_their_missing_runs():
    """Only lengths of which both nets are trained are shown; ninths are of the iterations."""
    def load(run):
        many, late = "(64,1)" in run.name, "stepvalue: 8000" in run.solver
        done = {"test": 75.0, "train": 86.0 if late else 83.0, "variance": 2.0 if many else 1.0}
        return None if many and not late else done
    found = text_rate_steps.measure("full", load)
    rows = {what: here for what, _, here in text_rate_steps.compare(found)}
    assert len(rows) == len(text_rate_steps.PAPER)
    assert rows["train minus test, dense, points; rate falls after 8,000"] == 11
    assert rows["the same, 64 blocks over dense; rate falls after 8,000"] == 2
    assert len({run.solver for run in text_rate_steps.runs("full")}) == 2
    assert "stepvalue: 4000" in text_rate_steps.runs("full")[-1].solver


def test_text_small_nets_compare_with_random_matrices():
    """R of the blocks' shape is drawn as these weights are; R of the whole has no blocks."""
    weights = random_matrix((4, 10, 10), 0.5, np.random.default_rng(0))
    result = text_small_nets._ip2({"ip2.weights": weights, "ip2.variance": [9.0, 0.5]})
    assert result["variance"] == 0.5 and result["distance_random_blocks"] < 1e-9
    assert 0.01 < result["distance_random"] < 0.5
    assert_allclose((result["random"] ** 2).sum(), 0.5 * 400, rtol=0.1)      # as the blocks' sum
    dense = text_small_nets._ip2({"ip2.weights": weights[0], "ip2.variance": [0.5]})
    assert dense["distance_random"] == dense["distance_random_blocks"]


def test_compression():
    assert text_compression.parameters((784, 980, 10), (49, 1)) == 784 * 20 + 980 + 9800 + 10
    rows = text_compression.compare(text_compression.measure("full", None))
    assert [round(here, 2) for _, _, here in rows] == [80.94, 46.72, 29.43]


class TestRuns:
    def test_lenet(self):
        run = common.lenet((100, 10), seed=2, activation="Sigmoid", shuffle="BLOCKS")
        net = {layer.name: layer for layer in run.net_param().layer}
        assert net["relu1"].type == "Sigmoid"
        assert net["ip1"].block_inner_product_param.num_blocks == 100
        assert net["ip2"].block_inner_product_param.shuffle == 1
        solver = run.solver_param()
        assert solver.max_iter == run.iterations == 10000 and solver.lr_policy == "inv"
        assert not solver.net and not solver.test_iter
        assert (run.record, run.test, run.test_batches, run.train_batches) == (200, 500, 100, 0)

    def test_convnet(self):
        run = common.convnet((8, 1), data="SVHN")
        assert list(run.solver_param().stepvalue) == [8000] and run.iterations == 9000
        data = run.net_param().layer[0]
        assert data.data_param.source == "svhn" and list(data.transform_param.mean_value) == \
            pytest.approx([111.6, 113.2, 120.6])
        assert run.final_train_batches == 500

    def test_phases(self):
        assert pruned.phases(pruned.LENET_PHASES, common.LENET, "full") == (15, 365)
        assert pruned.phases(pruned.CONVNET_PHASES, common.CONVNET, "quick") == (50, 140)
        assert pruned.same_nonzeros((100, 10), pruned.LENET_SIZES) == [4000, 500]
        assert pruned.same_nonzeros((8, 1), pruned.CONVNET_SIZES) == [8192, None]

    @pytest.mark.parametrize("run, expected", [
        (pruned.lenet_ip((100, 10), "full", 1), [("ip1", "OFF_DIAGONAL", 100, 0),
                                                 ("ip2", "OFF_DIAGONAL", 10, 0)]),
        (pruned.lenet_ip((10, 1), "full", 1), [("ip1", "OFF_DIAGONAL", 10, 0)]),
        (pruned.lenet_traditional((10, 1), "full", 1), [("ip1", "MAGNITUDE", 0, 40000)]),
        (pruned.convnet_to((37, 40), "full", 1), [("ip1", "MAGNITUDE", 0, 37),
                                                  ("ip2", "MAGNITUDE", 0, 40)]),
        (pruned.convnet_nodes(2, "full", 1), [("ip1", "NODE", 0, 2)])])
    def test_pruning(self, run, expected):
        names = caffe_pb2.PruningParameter.Method.Name
        assert [(p.layer[0], names(p.method), p.num_blocks, p.target)
                for p in run.solver_param().pruning] == expected
        assert all(layer.type != "BlockInnerProduct" for layer in run.net_param().layer)

    def test_mlp(self):
        run = common.mlp((500, 500, 10), (1, 100, 1))
        types = [layer.type for layer in run.net_param().layer]
        assert types.count("InnerProduct") == 2 and types.count("BlockInnerProduct") == 1
        assert run.layers == ("ip1", "ip2", "ip3")

    def test_solver_text_replaces_repeated_fields(self):
        solver = text.parse(common.solver_text("cuda_convnet/quick_solver.prototxt", max_iter=9,
                                               stepvalue=[8]), caffe_pb2.SolverParameter)
        assert list(solver.stepvalue) == [8] and solver.base_lr == pytest.approx(0.001)


class TestNotes:
    def test_scale(self):
        assert common.mnist_notes("full") == []
        note, = common.mnist_notes("quick")
        assert note == "scale quick: 1,000 of the paper's 10,000 iterations"

    def test_pictures_that_are_not_the_published_ones(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MINICAFFE_DATA", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        assert common.cifar_notes("full") == [] and not common.has_svhn()
        (tmp_path / "cifar-10-batches-bin").mkdir()
        (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"others")
        assert "re-encoded as JPEG; original Caffe reaches 74.3 %" in common.cifar_notes("full")[0]


class TestTimes:
    def test_in_turns_gives_the_shortest_of_single_calls(self, monkeypatch):
        """A clock that the calls themselves move on."""
        clock, steps = [0.0], iter([1e-3] * 6 + [9e-3] * 14 + [1e-3] * 100)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

        def call():
            clock[0] += next(steps)

        assert timing.in_turns({"a": call}, rounds=5) == {"a": pytest.approx(1e-3)}

    def test_layers_are_dense_and_block_diagonal(self):
        dense, block = timing.TimedLayer(5, 8, 12), timing.TimedLayer(5, 8, 12, 4)
        for timed in dense, block:
            timed.all_three()
        x, w = block.bottom[0].data, block.layer.blobs[0].data
        assert_allclose(block.top[0].data[:, 3:6], x[:, 2:4] @ w[1].T, rtol=1e-5)
        assert dense.layer.blobs[0].shape == (12, 8)

    def test_bound_is_eq_2(self, monkeypatch):
        seconds = {"FC": 7, "Block": 1, "Prune": 3}
        monkeypatch.setattr(fig2, "in_turns", lambda calls, rounds: seconds)
        row = fig2._size(16, 1)
        assert row["blocks"] == [2, 4] and row["bound"] == [2, 2]

    def test_pruning_step_leaves_the_blocks(self):
        step = fig2.pruning_step(8, 2)
        step()
        weights, = [cell.cell_contents for cell in step.__closure__
                    if hasattr(cell.cell_contents, "diff")]
        assert (weights.diff[:4, :4] == 0).all()
        assert_allclose(np.abs(weights.diff[:4, 4:]), 0.001, rtol=1e-5)

    def test_speedups(self):
        row = {"forward": [[8.0, 2.0], [8.0, 16.0]]}
        assert fig1.speedups(row, "forward") == [4, 0.5]

    def test_csr_has_as_many_nonzeros_as_the_blocks(self):
        product = fig3.csr_product(3, 20, 10, 5)
        pruned_layer = next(cell.cell_contents for cell in product.__closure__
                            if hasattr(cell.cell_contents, "nonzeros"))
        assert pruned_layer.nonzeros == 40 and pruned_layer.matrix.shape == (10, 20)
        assert product().shape == (3, 10)


class TestReadings:
    def arrays(self, *accuracies):
        return text_readings.summary({"test_accuracy": np.array(accuracies)})

    @pytest.fixture
    def numbers(self, monkeypatch):
        """One reading with a seed of three that diverged, one where all did; one isn't done."""
        wanted = {"no penalty": "abc", "alpha 0.1": "def", "fast at first": "ghi"}
        monkeypatch.setattr(text_readings, "chosen", lambda scale: wanted)
        found = dict.fromkeys("bdef", {"diverged": 407})
        found["a"], found["c"] = self.arrays(0.1, *[0.9] * 5, 0.96), self.arrays(*[0.94] * 9)
        return text_readings.measure("full", found.get)

    def test_of_those_that_end(self, numbers):
        some, none = numbers["entries"]
        assert (some["reading"], none["reading"]) == ("no penalty", "alpha 0.1")
        assert_allclose(some["last"], [96, 94])
        assert_allclose(some["late"], [91, 94])
        assert some["diverged"] == [407] and none["diverged"] == 3 * [407] and none["last"] == []

    def test_where_it_diverged(self):
        arrays = {"test_accuracy": np.array([0.1]), "diverged": np.array(407)}
        assert text_readings.summary(arrays) == {"diverged": 407}

    def test_table_and_picture_say_so(self, numbers):
        rows = {row[0]: row[2] for row in text_readings.compare(numbers)}
        assert rows["no penalty: diverged at iteration"] == "407"
        assert rows["alpha 0.1: diverged at iteration"] == "407, 407, 407"
        assert_allclose(rows["no penalty (2 seeds): last test, %"], 95)
        assert len(rows) == 4
        (axes,) = text_readings.draw(numbers).axes
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            "alpha 0.1\n(3 of 3 diverged)", "no penalty\n(1 of 3 diverged)"]
        assert len(axes.get_legend().texts) == 2
