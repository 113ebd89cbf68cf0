"""Options have the same names, kinds and defaults in Python and on the command line."""

import inspect
from dataclasses import fields
from typing import get_type_hints

import pytest
import torch

import clipiqa_pyiqa
from clipiqa_pyiqa import read_image, score_paths
from clipiqa_pyiqa.workbench.options import BatchOptions, ComparisonOptions, Reading, ScoringOptions, SharedOptions
from clipiqa_pyiqa.workbench.scoring.options import Options

OF_PYTHON = {"device": str | torch.device | None}  # the command line has no objects


def hints(keywords):
    """The fields of a ``TypedDict``, some of which are imported for type checkers only."""
    return get_type_hints(keywords, localns={"torch": torch})


@pytest.mark.parametrize("keywords", [BatchOptions, ComparisonOptions, ScoringOptions])
def test_keywords_have_the_fields_and_kinds_of_the_dataclass(keywords):
    kinds = get_type_hints(SharedOptions)
    for name, kind in hints(keywords).items():
        assert kind == OF_PYTHON.get(name, kinds[name]), name


def test_all_options_of_reading_can_be_given_in_python():
    reading = {field.name: field.default for field in fields(Reading)}
    assert reading.keys() <= hints(ScoringOptions).keys()
    parameters = list(inspect.signature(read_image).parameters.values())[1:]
    assert {parameter.name: parameter.default for parameter in parameters} == reading


def test_signatures_show_the_options_one_by_one_with_their_defaults():
    shown = inspect.signature(score_paths).parameters
    for name in hints(ScoringOptions):
        assert shown[name].default == getattr(SharedOptions, name)


def test_public_functions_of_the_workbench_name_their_options():
    takes_more = []
    for name in clipiqa_pyiqa.__all__:
        public = getattr(clipiqa_pyiqa, name)
        if inspect.isfunction(public) and ".workbench." in public.__module__:
            kinds = [parameter.kind for parameter in inspect.signature(public).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD in kinds:
                takes_more.append(name)
    assert takes_more == []


def test_a_run_has_the_options_of_both_a_seed_and_a_smallest_side():
    shared = {field.name for field in fields(SharedOptions)}
    assert {field.name for field in fields(Options)} - shared == {"seed", "min_side"}
