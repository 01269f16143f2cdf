"""The page of the vocabulary is what the registries say."""

from pathlib import Path

from hpo.review.vocabulary import vocabulary_page


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs/vocabulary.md"
    assert page.read_text() == vocabulary_page(), "run: scripts/vocabulary > docs/vocabulary.md"
