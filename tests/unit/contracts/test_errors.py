import pytest

from meshwise.contracts.errors import ConfigError, DocumentError, MeshwiseError, UnavailableError


def test_a_document_error_reads_as_path_and_problem() -> None:
    """The text of a document error begins with the path of the field."""
    error = DocumentError("timeout.attempt", "is too long")
    assert (str(error), error.path, error.problem) == ("timeout.attempt: is too long", "timeout.attempt", "is too long")


def test_a_document_error_about_the_whole_document_has_no_path_in_its_text() -> None:
    """An empty path leaves only the problem."""
    assert str(DocumentError("", "must be a mapping")) == "must be a mapping"


@pytest.mark.parametrize("kind", [ConfigError, DocumentError, UnavailableError])
def test_every_error_has_the_one_root(kind: type[Exception]) -> None:
    """Whoever catches MeshwiseError catches everything raised on purpose."""
    assert issubclass(kind, MeshwiseError)


def test_a_document_error_is_one_line_whatever_the_document_says() -> None:
    """What cannot be printed is escaped, so that no line ends, and no terminal obeys it; other languages stay."""
    error = DocumentError("a\nb", "ü \x1b[31m \ud800")
    assert str(error) == "a\\nb: ü \\x1b[31m \\ud800"
    assert str(error).isprintable()
