"""A JupyterLab server of its own: a folder with notebooks, none of the user's settings, nothing from the network."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
SECONDS = 120.0  # the limit of one step, which a busy machine needs


class Lab:
    """A JupyterLab server: `notebooks` beside `data_samples`, as in the repository, without a user's settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "notebooks").mkdir()
        (folder / "data_samples").symlink_to(ROOT / "data_samples")
        settings = {
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page
        }
        for name, values in settings.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.folder}"),
            *(f"--IdentityProvider.token={self.token}", "--LabApp.extension_manager=readonly"),
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment variables that keep it apart from the user's Jupyter."""
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return os.environ | {name: str(self.folder / folder) for name, folder in folders.items()}

    def request(self, method: str, path: str, values: Any = None) -> Any:
        """Ask the server; return its answer from JSON."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        data = None if values is None else json.dumps(values).encode()
        with urllib.request.urlopen(request, data, timeout=SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def write(self, name: str, cells: tuple[str, ...]) -> None:
        """Write a notebook of code cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.folder / "notebooks" / name)

    def copy(self, name: str) -> str:
        """Copy a notebook as if it had come from elsewhere, so that this Jupyter does not trust it; return its name."""
        notebook = nbformat.read(self.folder / "notebooks" / name, as_version=4)
        notebook.metadata["copied"] = True  # trust is by content
        for cell in notebook.cells:
            cell.metadata.pop("trusted", None)
        nbformat.write(notebook, self.folder / "notebooks" / f"copy_of_{name}")
        return f"copy_of_{name}"

    def has_idle_kernel(self, name: str) -> bool:
        """Say whether a notebook's kernel has nothing to do and is connected to a page."""
        try:
            sessions = self.request("GET", "api/sessions")
        except urllib.error.HTTPError:  # the server's answer while a kernel goes
            return False
        kernels = [session["kernel"] for session in sessions if session["name"] == name]
        return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)

    def shut_kernels(self) -> None:
        """Shut down every kernel."""
        for session in self.request("GET", "api/sessions"):
            self.request("DELETE", f"api/sessions/{session['id']}")


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """Start a JupyterLab in an empty folder, and stop it whatever happens; SIGTERM then acts like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lab = Lab(folder)
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(
            lab.command(), env=lab.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                lab.request("GET", "api")
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("JupyterLab did not start:\n" + (folder / "lab.log").read_text()) from None
                time.sleep(0.1)
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
