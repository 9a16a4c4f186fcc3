"""Shape annotations of the library are checked at run time here, and only here."""

from jaxtyping import install_import_hook

install_import_hook("linvid_edu", "beartype.beartype")
