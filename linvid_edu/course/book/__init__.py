"""The course as a site that opens without a network: lessons, documents, and a reference of the library."""

from .build import BookError, build_book, build_course

__all__ = ["BookError", "build_book", "build_course"]
