"""`compeffdist watch`: a run, while it goes, as a page or as lines."""

import argparse

HELP = "watch a run: stages, progress, spending, answers, gates and loss, as a page on this machine or as lines"
EXAMPLE = "compeffdist watch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--once", action="store_true", help="print where the run is, and leave")
    add("--json", action="store_true", help="the same as JSON")


def run(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C, or print the state once; nothing is written."""
    import json
    from contextlib import suppress

    from compeffdist.watch.lines import lines
    from compeffdist.watch.state import Watcher

    watcher = Watcher()
    if args.json:
        print(json.dumps(watcher.state(), indent=2, allow_nan=False))
    elif args.once:
        print("\n".join(lines(watcher.state())))
    else:
        from compeffdist.watch.server import WatchServer

        with WatchServer(watcher) as server:
            print(server.address, flush=True)
            with suppress(KeyboardInterrupt):
                server.serve_forever()
