"""`compeffdist profile`: choose the size of the run."""

import argparse

from compeffdist.profiles import compose, profile_names, write_profile

HELP = "compose a profile into params.yaml"
EXAMPLE = "compeffdist profile laptop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=f"profile, a file of profiles/: {', '.join(profile_names()) or 'none here'}")
    parser.add_argument("--check", action="store_true", help="validate only; write nothing")
    parser.add_argument("--force", action="store_true", help="replace params.yaml though it was edited by hand")


def run(args: argparse.Namespace) -> None:
    """Validate, and unless --check, write params.yaml."""
    if args.check:
        compose(args.name)
        print(f"profile {args.name} is valid")
    else:
        write_profile(args.name, replace_edits=args.force)
        print(f"params.yaml now holds the {args.name} profile")
