"""The data sets of the nets: their sizes, and the Data layers that read them."""

from typing import NamedTuple

from ..errors import Error, unknown

TEST_BATCH = 100                # divides all test sets


class Source(NamedTuple):
    """A data set and how its pictures are made inputs.

    place: of each phase, fields of data_param. mean: of each channel; scale: one over (about)
    the pixels' standard deviation, one for all channels. resized: pictures are scaled to a larger
    side instead of getting a border.
    """

    name: str
    classes: int
    train_size: int
    test_size: int
    shape: tuple                # of a picture, C x H x W
    place: dict
    mean: tuple = ()
    scale: float = 1 / 64
    resized: bool = False


def _splits(backend, source):
    return {phase: {"backend": backend, "source": source, "split": phase.lower()}
            for phase in ("TRAIN", "TEST")}


SOURCES = {
    "mnist": Source("mnist", 10, 60000, 10000, (1, 28, 28),
                    {"TRAIN": {"backend": "IDX", "source": "mnist/train"},
                     "TEST": {"backend": "IDX", "source": "mnist/t10k"}}, (33.3,), 1 / 78.6,
                    resized=True),
    "cifar10": Source("cifar", 10, 50000, 10000, (3, 32, 32),
                      _splits("CIFAR", "cifar-10-batches-bin"), (125.3, 123.0, 113.9)),
    "cifar100": Source("cifar", 100, 50000, 10000, (3, 32, 32),
                       _splits("CIFAR", "cifar-100-binary"), (129.3, 124.1, 112.4)),
    "cinic10": Source("cinic", 10, 90000, 90000, (3, 32, 32),
                      _splits("CINIC", "CINIC-10"), (122.1, 120.4, 109.8)),
}


def add_data(net, source, side, batch_size, augment):
    """The Data layers of a net of pictures of side x side, of a Source or the one of that name.

    Returns the Source.

    augment: in TRAIN the square is cut out at one of 9 x 9 places, drawn at random, and half of
    the pictures are mirrored: for pictures of 32 x 32 and that side, a crop after padding by 4.
    Else, and in TEST, it is the picture's middle, or the picture with a border around it, or the
    picture scaled.
    """
    if not isinstance(source, Source):
        if source not in SOURCES:
            raise Error(unknown("data", source, SOURCES))
        source = SOURCES[source]
    for phase, batch in ("TRAIN", batch_size), ("TEST", TEST_BATCH):
        train = phase == "TRAIN"
        net.data(source.name, phase, _transform(source, side, augment and train),
                 batch_size=batch, **source.place[phase], **{"shuffle": True} if train else {})
    return source


def _transform(source, side, augment):
    """The fields of transform_param."""
    picture = source.shape[1]
    fields = {"scale": source.scale, "mean_value": source.mean}
    if source.resized and side > picture:
        fields["resize"] = picture = side
    pad = max(0, -(-(side + 8 * augment - picture) // 2))
    if pad:
        fields["pad"] = pad
    if side != picture + 2 * pad:
        fields["crop_size"] = side
    if augment:
        fields["mirror"] = True
    return fields
