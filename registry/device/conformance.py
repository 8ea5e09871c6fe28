"""The client that the TUF conformance suite drives: our fetcher and limits, without the manifests on top.

    python -m registry.device.conformance --metadata-dir D init TRUSTED_ROOT
    python -m registry.device.conformance --metadata-dir D --metadata-url U refresh
    python -m registry.device.conformance --metadata-dir D --metadata-url U
        --target-name N --target-base-url B --target-dir T download

The protocol is CLIENT-CLI.md of https://github.com/theupdateframework/tuf-conformance; `--target-name` may be repeated, and all
of them are looked up with one trusted set. Exit code 0, or 1 whatever failed.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient import Updater

from components.workspace.files import write_bytes
from registry.device.fetcher import DeadlineFetcher
from registry.device.source import DEADLINE_S, open_updater

_TRUSTED = "root.json"


def run(arguments: list[str]) -> int:
    """The exit code of one call."""
    options = _parse(arguments)
    try:
        if options.command == "init":
            write_bytes(options.metadata_dir / _TRUSTED, options.trusted_root.read_bytes())
        elif options.command == "refresh":
            _updater(options).refresh()
        else:
            _download(options)
    except (RepositoryError, DownloadError, OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


def _download(options: Namespace) -> None:
    """A target that lies there with the right digest is not fetched again."""
    updater, fetcher = _updater(options), _fetcher(options)
    for name in options.target_name:
        entry = updater.get_targetinfo(name)
        if entry is None:
            raise ValueError(f"no target '{name}'")
        if updater.find_cached_target(entry) is None:
            fetcher.allow(entry.length)
            updater.download_target(entry)


def _updater(options: Namespace) -> Updater:
    root = (options.metadata_dir / _TRUSTED).read_bytes()
    targets = options.target_dir or options.metadata_dir / "targets"
    return open_updater(options.metadata_url, options.target_base_url, root, options.metadata_dir, targets, _fetcher(options))


def _fetcher(options: Namespace) -> DeadlineFetcher:
    """One a call."""
    if options.fetcher is None:
        options.fetcher = DeadlineFetcher(DEADLINE_S)
    fetcher: DeadlineFetcher = options.fetcher
    return fetcher


def _parse(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m registry.device.conformance", description="TUF conformance client")
    parser.set_defaults(fetcher=None)
    parser.add_argument("--metadata-dir", type=Path, required=True)
    parser.add_argument("--metadata-url")
    parser.add_argument("--target-name", action="append", default=[])
    parser.add_argument("--target-dir", type=Path)
    parser.add_argument("--target-base-url")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root", type=Path)
    commands.add_parser("refresh")
    commands.add_parser("download")
    options = parser.parse_args(arguments)
    if options.command != "init" and options.metadata_url is None:
        parser.error("--metadata-url is needed")
    if options.command == "download" and (
        not options.target_name or options.target_dir is None or options.target_base_url is None
    ):
        parser.error("--target-name, --target-dir and --target-base-url are needed")
    return options


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
