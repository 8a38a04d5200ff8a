"""The command line, one file a command."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("leap-engagement-stream")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0"
