"""Recipes: what they read, and with which settings."""

from __future__ import annotations

import pytest

from echoclip_r.training.loss import Contrastive, Preference, SharedFindings
from echoclip_r.training.recipes import (
    RECIPES,
    echoclip,
    echoclip_r_findings,
    echoclip_r_span,
    phantom_scale,
)
from echoclip_r.training.recipes import echoclip_r as whole_report
from echoclip_r.training.views import SentenceRun, Statement, TokenSpan, Twins, WholeReport


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_recipes_have_the_papers_settings(recipe: str) -> None:
    """Batch 1,024, lr 5e-5, 2,000 warm-up steps and 50 epochs, in all of them."""
    config = RECIPES[recipe]()
    assert config.recipe == recipe
    assert (config.batch_size, config.lr) == (1024, 5e-5)
    assert (config.warmup_steps, config.epochs) == (2000, 50)


def test_recipes_read_what_they_say() -> None:
    """A span, the whole report, or both the report and a run of its sentences, half each."""
    assert echoclip().texts == (TokenSpan(),)
    assert whole_report().texts == (WholeReport(),)
    assert echoclip_r_span().texts == (WholeReport(), SentenceRun(max_sentences=4))
    assert echoclip().losses == whole_report().losses == (Contrastive(text=0, weight=1.0),)
    halves = (Contrastive(text=0, weight=0.5), Contrastive(text=1, weight=0.5))
    assert echoclip_r_span().losses == halves


def test_findings_are_half_of_the_loss_beside_the_whole_report() -> None:
    """The loss on whole reports stays as it is."""
    config = echoclip_r_findings()
    assert config.texts == (WholeReport(), Twins(), *[Statement()] * 4)
    assert config.losses == (
        Contrastive(text=0, weight=0.5),
        Preference(text=1, weight=0.25),
        SharedFindings(text=3, num_texts=4, weight=0.25),
    )


def test_the_tokenizer_fits_the_weights() -> None:
    """CLIP's rows need a tokenizer that shares them; what is asked for wins."""
    assert echoclip().model.tokenizer is None
    assert whole_report().model.tokenizer == "echo"
    assert whole_report(pretrained="x").model.tokenizer == "echo-clip"
    assert whole_report(tokenizer="mine.json", pretrained="x").model.tokenizer == "mine.json"
    assert echoclip_r_span(pretrained="x").model.pretrained == "x"


def test_a_small_scale_leaves_sentences_out_of_whole_reports_alone() -> None:
    """A span has no sentences that could be left out."""
    assert phantom_scale(echoclip()).texts == (TokenSpan(),)
    assert phantom_scale(whole_report()).texts == (WholeReport(drop_sentences=0.6),)
    scaled = phantom_scale(echoclip_r_span())
    assert scaled.texts == (WholeReport(drop_sentences=0.6), SentenceRun())
    assert scaled.model.towers == "echoclip-r-tiny"
