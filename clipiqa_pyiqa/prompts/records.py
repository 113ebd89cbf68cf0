"""Records of questions: fields of JSON in the provenance of their scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from .pairs import Question, score_range


def question_record(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the record of a column of prompt pairs, or of a single text."""
    texts = [list(question.texts) for question in questions]
    return {"range": list(score_range(questions)), "lower_better": False, "questions": texts}


def column_records(questions: Mapping[str, Sequence[Question]]) -> dict[str, dict[str, Any]]:
    """Return each column's record for ``scores`` of provenance."""
    return {name: question_record(pairs) for name, pairs in questions.items()}
