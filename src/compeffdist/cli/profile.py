"""`compeffdist profile`: choose the size of the run."""

import argparse

HELP = "compose a profile into params.yaml"
EXAMPLE = "compeffdist profile laptop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="profile, a file of profiles/: laptop, own, smoke, workstation, paper")
    parser.add_argument("--check", action="store_true", help="validate only; write nothing")
    parser.add_argument("--force", action="store_true", help="replace params.yaml though it was edited by hand")


def run(args: argparse.Namespace) -> None:
    """Validate, and unless --check, write params.yaml."""
    from compeffdist.profiles import compose, write_profile

    if args.check:
        compose(args.name)
        print(f"profile {args.name} is valid")
    else:
        write_profile(args.name, replace_edits=args.force)
        print(f"params.yaml now holds the {args.name} profile")
