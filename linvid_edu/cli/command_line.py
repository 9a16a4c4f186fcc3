"""Write a command as a line for the shell, so that a page or a message can say how to run it again."""

import shlex
from collections.abc import Mapping
from typing import Any


def command_line(command: str, options: Mapping[str, Any], *arguments: str) -> str:
    """Return "linvid COMMAND --name value … -- argument …", quoted for a shell.

    Args:
        command: Name of the command.
        options: Value of each option. None and False leave the option out, True makes it a flag, and a list or tuple
            repeats it.
        arguments: What follows the options.
    """
    words = ["linvid", command]
    for name, value in options.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is True:
                words.append(name)
            elif item is not None and item is not False:
                words += [name, str(item)]
    return shlex.join([*words, *(["--", *arguments] if arguments else [])])
