import numpy as np
import pytest
from google.protobuf import text_format
from helpers import batches
from numpy.testing import assert_allclose, assert_array_equal

from minicaffe.blob import Blob
from minicaffe.errors import Error, LayerError
from minicaffe.layers import layer_class
from minicaffe.proto import caffe_pb2

Image = pytest.importorskip("PIL.Image")
PICTURES = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3), np.uint8)     # red, green, blue
LABELS = np.array([3, 1, 4, 1, 5, 9, 2])


@pytest.fixture
def make(tmp_path):
    """make(text of image_data_param, of transform_param, ...): the layer, set up, and its tops."""
    (tmp_path / "pictures").mkdir()
    for i, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"no {i}.png")
    (tmp_path / "list.txt").write_text("".join(f"no {i}.png {l}\n" for i, l in enumerate(LABELS)))
    made = []

    def build(data="batch_size: 3", transform="", phase="TEST", tops=2, seed=7, source="list.txt",
              root="pictures/"):
        param = text_format.Merge(
            f"name: 'pictures' type: 'ImageData' transform_param {{ {transform} }} "
            f"image_data_param {{ source: '{tmp_path / source}' root_folder: '{tmp_path}/{root}' "
            f"{data} }}",
            caffe_pb2.LayerParameter())
        layer = layer_class("ImageData")(param, phase, rng=np.random.default_rng(seed))
        top = [Blob() for _ in range(tops)]
        layer.set_up([], top)
        made.append(layer)
        return layer, top
    yield build
    for layer in made:
        layer.close()


def as_caffe(pictures):
    """(n, H, W, RGB) as (n, BGR, H, W)."""
    return pictures[..., ::-1].transpose(0, 3, 1, 2)


def test_file_order_blue_first_and_wrapped(make):
    layer, top = make()
    assert top[0].shape == (3, 3, 6, 5) and top[1].shape == (3,)
    for k, (data, label) in enumerate(batches(layer, top, 6)):
        indices = np.arange(3 * k, 3 * k + 3) % 7
        assert_array_equal(data, as_caffe(PICTURES[indices]))
        assert_array_equal(label, LABELS[indices])


def test_grey_scaled_and_without_labels(make):
    layer, top = make("batch_size: 2 is_color: false", "scale: 0.5 mean_value: 10", tops=1)
    (data,), = batches(layer, top, 1)
    assert data.shape == (2, 1, 6, 5)
    grey = PICTURES[:2] @ [0.299, 0.587, 0.114]
    assert_allclose(data[:, 0], (grey - 10) / 2, atol=0.51)


def test_shuffle_gives_every_picture_once_an_epoch_and_continues_from_a_position(make):
    layer, top = make("batch_size: 7 shuffle: true")
    got = batches(layer, top, 5)
    for data, label in got:
        order = [next(i for i in range(7) if (as_caffe(PICTURES)[i] == image).all())
                 for image in data]
        assert sorted(order) == list(range(7))
        assert_array_equal(label, LABELS[order])
    assert len({data.tobytes() for data, _ in got}) == 5
    layer.position = 3
    assert_array_equal(batches(layer, top, 1)[0][0], got[3][0])
    again, other = make("batch_size: 7 shuffle: true"), make("batch_size: 7 shuffle: true", seed=8)
    assert_array_equal(batches(*again, 1)[0][0], got[0][0])
    assert (batches(*other, 1)[0][0] != got[0][0]).any()


def test_rand_skip(make):
    starts = {batches(*make("batch_size: 1 rand_skip: 4", seed=s), 1)[0][1][0] for s in range(12)}
    assert len(starts) > 1 and starts <= set(LABELS[:4])


def test_pictures_resized(make):
    """A linear ramp stays one under bilinear interpolation between pixel centres."""
    layer, top = make("batch_size: 1 new_height: 12 new_width: 10")
    assert top[0].shape == (1, 3, 12, 10)
    image = batches(layer, top, 1)[0][0][0]
    small = as_caffe(PICTURES[:1].astype(float))[0]
    rows = 0.25 * small[:, 0] + 0.75 * small[:, 1]                      # row 2 lies at 0.75
    assert_allclose(image[:, 2, 3], 0.75 * rows[:, 1] + 0.25 * rows[:, 2], atol=0.51)
    assert_array_equal(image[:, 0, 0], small[:, 0, 0])


def test_crop_and_mirror_are_drawn_picture_by_picture(make):
    layer, top = make("batch_size: 7", "crop_size: 3 mirror: true", phase="TRAIN")
    assert top[0].shape == (7, 3, 3, 3)
    places, got = set(), batches(layer, top, 2)
    for image, whole in zip(got[0][0], as_caffe(PICTURES)):
        found = [(y, x, flip) for y in range(4) for x in range(3) for flip in (1, -1)
                 if (whole[:, y:y + 3, x:x + 3][..., ::flip] == image).all()]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 2
    layer.position = 1
    assert_array_equal(batches(layer, top, 1)[0][0], got[1][0])


def test_sizes_may_differ_where_a_crop_makes_them_equal(make, tmp_path):
    make()
    Image.fromarray(PICTURES[0][:4]).save(tmp_path / "pictures" / "small.png")
    (tmp_path / "mixed.txt").write_text("no 0.png 1\nsmall.png 2\n")
    (data, _), = batches(*make("batch_size: 2", "crop_size: 4", source="mixed.txt"), 1)
    assert_array_equal(data[0], as_caffe(PICTURES[:1])[0, :, 1:5, 0:4])
    assert_array_equal(data[1], as_caffe(PICTURES[:1])[0, :, :4, 0:4])
    layer, top = make("batch_size: 2", source="mixed.txt")
    message = r"small.png gives an image of \(3, 4, 5\), others give \(3, 6, 5\)"
    with pytest.raises(Error, match=message):
        layer.forward([], top)


def test_a_path_may_start_in_the_listings_folder(make, tmp_path):
    make()
    (tmp_path / "pictures" / "list.txt").write_text("no 2.png 8")
    param = caffe_pb2.LayerParameter(name="p", type="ImageData", image_data_param={
        "source": str(tmp_path / "pictures" / "list.txt")})
    layer, top = layer_class("ImageData")(param), [Blob(), Blob()]
    layer.set_up([], top)
    (data, label), = batches(layer, top, 1)
    layer.close()
    assert_array_equal(data, as_caffe(PICTURES[2:3]))
    assert label[0] == 8


@pytest.mark.parametrize("arguments, message", [
    (dict(data="batch_size: 0"), "batch_size 0 must be at least 1"),
    (dict(data="new_width: 4"), "give new_height 0 and new_width 4 both, or neither"),
    (dict(data="scale: 0.5"), "scale belongs into transform_param"),
    (dict(source="nothing.txt"), "nothing.txt not found"),
    (dict(root="nowhere/"), "list.txt: .*nowhere/no 0.png: can't be read as a picture"),
    (dict(transform="crop_size: 7"), "crop_size 7 is larger than the image, 6 x 5")])
def test_bad_parameters(make, arguments, message):
    with pytest.raises(Error, match=rf"layer 'pictures' \(ImageData\): .*{message}"):
        make(**arguments)


def test_a_file_that_is_no_picture(make, tmp_path):
    layer, top = make("batch_size: 7")
    (tmp_path / "pictures" / "no 3.png").write_text("no picture")
    with pytest.raises(Error, match=r"layer 'pictures' .*no 3.png: can't be read as a picture"):
        layer.forward([], top)


def test_window_data_is_not_supported():
    layer = layer_class("WindowData")(caffe_pb2.LayerParameter(name="w", type="WindowData"))
    with pytest.raises(LayerError, match=r"layer 'w' \(WindowData\): WindowData is not supported"):
        layer.set_up([], [Blob(), Blob()])
