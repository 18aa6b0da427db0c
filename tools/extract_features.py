"""Write blobs of a trained net to LMDBs, as Caffe's extract_features does.

The net is built for phase TEST and run on its own data or, with --training-data, on what it trains
on. With --label the records hold labels too, and a Data layer reads them as any other data set.
"""

import sys

from minicaffe import TEST, Net, backend, cli
from minicaffe.net.evaluation import load_weights
from minicaffe.analysis.features import extract_features
from minicaffe.errors import Error
from minicaffe.net.head import on_training_data
from minicaffe.proto import upgrade


def main(argv=None):
    parser = cli.parser(__doc__, "python tools/extract_features.py lenet.caffemodel "
                                 "prototxt/lenet/train_test.prototxt \\\n      ip1,ip2 "
                                 "features_ip1,features_ip2 100")
    parser.add_argument("weights", metavar="WEIGHTS.caffemodel")
    parser.add_argument("net", metavar="NET.prototxt")
    parser.add_argument("blobs", metavar="BLOB[,BLOB...]", help="whose rows to write")
    parser.add_argument("outs", metavar="LMDB[,LMDB...]", help="the new databases, one a blob")
    parser.add_argument("batches", metavar="N", type=int, help="number of batches")
    parser.add_argument("db_type", metavar="lmdb", nargs="?", default="lmdb", choices=("lmdb",),
                        help="kept for Caffe's command lines: always lmdb")
    parser.add_argument("--label", metavar="BLOB", help="the blob whose numbers are the labels")
    parser.add_argument("--training-data", action="store_true",
                        help="read what the TRAIN phase's Data layer reads, as the TEST phase does")
    cli.add_state(parser)
    cli.add_gpu(parser)
    args = parser.parse_args(argv)
    backend.choose(args.gpu)
    blobs, outs = args.blobs.split(","), args.outs.split(",")
    if len(blobs) != len(outs) or len(set(blobs)) < len(blobs) or len(set(outs)) < len(outs):
        raise Error(f"{len(blobs)} blobs ({args.blobs}) need as many databases, all different, "
                    f"not {args.outs}")
    net = Net(on_training_data(upgrade.read_net(args.net)[0]) if args.training_data else args.net,
              TEST, **cli.net_state(args))
    try:
        for name in load_weights(net, args.weights):
            print(f"warning: {args.weights} has nothing for layer '{name}'", file=sys.stderr)
        counts = extract_features(net, dict(zip(blobs, outs)), args.batches, args.label)
    finally:
        net.close()
    for blob, out in zip(blobs, outs):
        print(f"{out}: {counts[blob]} records of {blob}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
