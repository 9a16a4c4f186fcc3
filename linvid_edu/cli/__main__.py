"""`python -m linvid_edu.cli` is `linvid`, for processes that run where no script is installed."""

from . import app

app(prog_name="linvid")
