"""Make figures and tables of the papers: numbers (JSON), pictures (PNG), comparison with the paper.

NAME is that of a module, bdip.fig6 or sao.fig4_2 (also written sao.fig4.2), or of a paper, bdip.
Training runs are kept in a cache ($MINICAFFE_CACHE, else ~/.cache/minicaffe) and shared by the
figures; an interrupted call is simply repeated.
"""

import importlib
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from figures.frame import results, summaries, training  # noqa: E402  (the path comes first)
from minicaffe import backend, cli  # noqa: E402
from minicaffe.errors import Error, unknown  # noqa: E402

KINDS = "fig", "table", "text"             # beginnings of the names of modules that are figures


def main(argv=None):
    parser = cli.parser(__doc__, "python figures/make.py bdip.fig6 --scale quick --jobs 2")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name all figures, and what they show")
    parser.add_argument("--scale", choices=results.SCALES, default="quick",
                        help="smoke: seconds; quick: minutes; full: the paper's own iterations "
                             "(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="training runs side by side, with one thread each (default: one run "
                             "with all threads)")
    parser.add_argument("--data", metavar="DIR", help="where the data sets are ($MINICAFFE_DATA)")
    parser.add_argument("--weights", metavar="DIR",
                        help="a folder of trained nets, NAME.prototxt and NAME.caffemodel, that the "
                             "figures of sss show too ($MINICAFFE_ZOO)")
    parser.add_argument("--out", metavar="DIR", default=results.FOLDER, type=Path,
                        help="where JSON and PNG go (default: figures/results)")
    parser.add_argument("--gpu", metavar="ID", default="cpu", help="time and train on this GPU")
    parser.add_argument("--finished", action="store_true",
                        help="train nothing: show what the cache holds of the runs")
    parser.add_argument("--add", action="store_true",
                        help="keep what NAME.json says of runs that the cache does not hold, as "
                             "when another machine trained them: only the others are trained")
    args = parser.parse_args(argv)
    if args.list:
        width = max(map(len, names()))
        for name in names():
            print(f"{name:{width}}  {results.title(module(name))}")
        return
    if args.jobs < 1 or not args.names:
        parser.error("--jobs must be at least 1" if args.names else "which figure? see --list")
    if args.jobs > 1 and args.gpu != "cpu":
        parser.error("--jobs is for the CPU: on a GPU runs go one after the other")
    if args.data:
        os.environ["MINICAFFE_DATA"] = args.data
    if args.weights:
        os.environ["MINICAFFE_ZOO"] = args.weights
    backend.choose(args.gpu)
    make([name for wanted in args.names for name in matching(wanted)], args)


def make(chosen, args):
    """Train what the chosen figures need, then measure, write and print each."""
    for name in chosen:
        results.check_scale(args.out / f"{name}.json", args.scale)
    kept = {name: summaries.read(name, module(name), args.out / f"{name}.json") if args.add else {}
            for name in chosen}
    needed = {name: module(name).runs(args.scale) for name in chosen}
    if not args.finished:
        training.obtain([run for name, runs in needed.items() for run in runs
                         if run.key not in kept[name]], args.jobs)
    for name in chosen:
        print(results.table(show(name, needed[name], kept[name], args)))
        print(f"{args.out / name}.json, .png\n", flush=True)


def show(name, runs, kept, args):
    """Measure and write one figure from those of its training runs that are done, or kept."""
    figure = module(name)
    found = summaries.found(figure, runs, kept)
    done = [run for run in runs if found[run.key] is not None]
    notes = figure.notes(args.scale)
    if len(done) < len(runs):
        notes.append(f"{len(runs) - len(done)} of {len(runs)} training runs are not done yet")
    if runs and not done:
        raise Error(f"{name}: none of its {len(runs)} training runs is done")
    numbers = figure.measure(args.scale, lambda run: found[run.key])
    described = [results.described(run, figure, found[run.key]) for run in done]
    return results.write(name, figure, args.scale, numbers, described, notes, args.out)


def names():
    """All figures, as PAPER.MODULE, fig2 before fig10."""
    found = [f"{path.parent.name}.{path.stem}" for path in HERE.glob("*/*.py")
             if path.stem.startswith(KINDS)]
    return sorted(found, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def matching(wanted):
    """The figure of that name, or all of the paper of that name."""
    module_name = re.sub(r"(?<=\d)\.(?=\d)", "_", wanted)          # Fig. 4.2's is fig4_2
    found = [name for name in names() if module_name in (name, name.partition(".")[0])]
    if not found:
        raise Error(unknown("figure", wanted, names()))
    return found


def module(name):
    """The module of a figure."""
    return importlib.import_module(f"figures.{name}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
