"""The adapter, against the installed open_clip; and our CLIP counts against its tokenizer."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import echotok
from echotok.adapters.open_clip import OpenClipTokenizer, text_config
from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

CONTEXT_LENGTH = 16
SHORT = "Mild mitral regurgitation."
LONG = "The septum is xylographically qzvwk, " * 20
# A row with much padding, one with BOS and EOS alone, and one that is truncated.
TEXTS = [SHORT, "", LONG]


@pytest.fixture(scope="module")
def model(tok: echotok.Tokenizer, tmp_path_factory: pytest.TempPathFactory):
    """A small open_clip model made from a configuration, as a user would make one."""
    name = f"tiny-{tok.name}"
    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {"width": 32, "heads": 2, "layers": 2}
        | text_config(tok, context_length=CONTEXT_LENGTH),
    }
    folder = tmp_path_factory.mktemp("configs")
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    return open_clip.create_model(name).eval()


@pytest.fixture(scope="module")
def rows(tok: echotok.Tokenizer):
    """TEXTS as a batch, and a row that EOS fills exactly."""
    tokenize = OpenClipTokenizer(tok, context_length=CONTEXT_LENGTH)
    full = next(
        text for count in range(40) if len(tok.encode(text := "q " * count)) == CONTEXT_LENGTH
    )
    return tokenize([*TEXTS, full])


@pytest.fixture(scope="module")
def clip_bpe() -> ByteBPE:
    """CLIP's merges."""
    return ByteBPE(clip_merges())


@pytest.fixture(scope="module")
def simple():
    """open_clip's own tokenizer."""
    return open_clip.SimpleTokenizer()


def features(model, ids):
    with torch.no_grad():
        return model.encode_text(ids)


def test_a_batch_is_what_open_clip_expects(tok: echotok.Tokenizer) -> None:
    """A string and a list give int64 rows of the context length; a call may set another."""
    tokenize = OpenClipTokenizer(tok)
    one = tokenize(SHORT)
    assert isinstance(one, torch.LongTensor)
    assert one.shape == (1, 77)
    assert tokenize(TEXTS).shape == (3, 77)
    assert tokenize(TEXTS, context_length=9).shape == (3, 9)
    assert tokenize(tuple(TEXTS)).equal(tokenize(TEXTS))
    assert tokenize([]).shape == (0, 77)
    length = len(tok.encode(SHORT))
    assert one[0, :length].tolist() == tok.encode(SHORT).ids
    assert (one[0, length:] == tok.pad_id).all()


def test_attributes_are_those_of_open_clips_tokenizers(tok: echotok.Tokenizer, simple) -> None:
    """What open_clip's own tokenizer offers as a plain value, the adapter offers too."""
    tokenize = OpenClipTokenizer(tok, context_length=64)
    for name in ("context_length", "vocab_size", "sot_token_id", "eot_token_id", "all_special_ids"):
        assert type(getattr(tokenize, name)) is type(getattr(simple, name)), name
    assert tokenize.context_length == 64
    assert tokenize.vocab_size == tok.vocab_size
    assert tokenize.sot_token_id == tok.bos_id
    assert tokenize.eot_token_id == tok.eos_id
    assert tokenize.pad_token_id == tok.pad_id
    assert tokenize.all_special_ids == [tok.bos_id, tok.eos_id, tok.pad_id]


def test_truncated_texts_are_counted(tok: echotok.Tokenizer) -> None:
    """The counts run over all calls; a pickled copy takes them along."""
    tokenize = OpenClipTokenizer(tok, context_length=CONTEXT_LENGTH)
    tokenize(TEXTS)
    tokenize(LONG)
    tokenize(SHORT)
    assert (tokenize.num_texts, tokenize.num_truncated) == (5, 2)
    copy = pickle.loads(pickle.dumps(tokenize))
    assert (copy.num_texts, copy.num_truncated) == (5, 2)
    assert copy(TEXTS).equal(tokenize(TEXTS))


@pytest.mark.parametrize("context_length", [2, 0, -1])
def test_a_context_that_holds_nothing_is_refused(
    tok: echotok.Tokenizer, context_length: int
) -> None:
    """Below three columns there is no room for BOS, an id and EOS, and the error says so."""
    message = f"context_length is {context_length}; BOS, one id and EOS need 3"
    with pytest.raises(ValueError, match=message):
        OpenClipTokenizer(tok, context_length=context_length)
    with pytest.raises(ValueError, match=message):
        OpenClipTokenizer(tok)(SHORT, context_length=context_length)
    with pytest.raises(ValueError, match=message):
        text_config(tok, context_length=context_length)


def test_the_config_makes_a_model_of_the_right_size(tok: echotok.Tokenizer, model) -> None:
    """`text_config` sets the embedding's rows, the positions and the pooling."""
    assert model.vocab_size == model.token_embedding.num_embeddings == tok.vocab_size
    assert model.context_length == CONTEXT_LENGTH
    assert model.text_pool_type == "argmax"
    assert model.text_eos_id == tok.eos_id


def test_a_model_takes_images_and_our_batch(model, rows) -> None:
    """A forward pass with images gives finite features of both towers."""
    with torch.no_grad():
        image_features, text_features, _ = model(torch.zeros(4, 3, 64, 64), rows)
    assert image_features.shape == text_features.shape == (4, 32)
    assert torch.isfinite(text_features).all()


@pytest.mark.parametrize("pool_type", ["argmax", "eos"])
def test_it_pools_at_eos(
    tok: echotok.Tokenizer, model, rows, monkeypatch: pytest.MonkeyPatch, pool_type: str
) -> None:
    """The pooled features are those of the EOS position: padded, empty, truncated and full rows."""
    monkeypatch.setattr(model, "text_pool_type", pool_type)
    pooled = features(model, rows)
    monkeypatch.setattr(model, "text_pool_type", "none")
    everywhere = features(model, rows)
    ends = [row.tolist().index(tok.eos_id) for row in rows]
    assert ends[0] < CONTEXT_LENGTH - 1, "a row with padding"
    assert ends[1] == 1, "an empty report"
    assert ends[2] >= CONTEXT_LENGTH - 8, "a truncated row"
    assert ends[3] == CONTEXT_LENGTH - 1, "a row without padding"
    for row, end in enumerate(ends):
        same = torch.isclose(everywhere[row], pooled[row], atol=1e-6).all(dim=-1)
        assert same.nonzero().flatten().tolist() == [end]


def test_only_what_stands_before_eos_matters(tok: echotok.Tokenizer, model, rows) -> None:
    """An id behind EOS changes nothing, one before it does."""
    before = features(model, rows)
    for row, ids in enumerate(rows):
        end = ids.tolist().index(tok.eos_id)
        behind = rows.clone()
        behind[row, end + 1 :] = tok.bos_id
        assert torch.allclose(features(model, behind), before, atol=1e-6)
        changed = rows.clone()
        changed[row, end - 1] = tok.encode("hypokinesis").ids[1]
        assert not torch.allclose(features(model, changed)[row], before[row], atol=1e-4)


def test_trimmed_to_eos_the_batch_is_the_same(tok: echotok.Tokenizer) -> None:
    """A longer context adds padding and nothing else."""
    short = OpenClipTokenizer(tok)(TEXTS[:2], context_length=CONTEXT_LENGTH)
    long = OpenClipTokenizer(tok)(TEXTS[:2])
    assert long[:, :CONTEXT_LENGTH].equal(short)
    assert (long[:, CONTEXT_LENGTH:] == tok.pad_id).all()


def test_open_clips_zero_shot_classifier_takes_it(model, tok: echotok.Tokenizer) -> None:
    """open_clip's own code calls the adapter where it would call its tokenizer."""
    weights = open_clip.build_zero_shot_classifier(
        model,
        tokenizer=OpenClipTokenizer(tok, context_length=CONTEXT_LENGTH),
        classnames=["mild", "severe"],
        templates=[lambda name: f"{name} mitral regurgitation."],
    )
    assert weights.shape == (32, 2)
    assert not torch.allclose(weights[:, 0], weights[:, 1])


def test_it_encodes_and_decodes_as_open_clips_tokenizer_does(
    tok: echotok.Tokenizer, simple
) -> None:
    """`encode` gives bare ids and `decode` gives text back, as in open_clip's own tokenizer."""
    tokenize = OpenClipTokenizer(tok)
    assert tokenize.encode(SHORT) == tok.encode(SHORT).ids[1:-1]
    assert tokenize.decode(tokenize.encode(SHORT)) == "mild mitral regurgitation."
    assert tokenize.decode(tokenize(SHORT)[0]) == "mild mitral regurgitation."
    assert simple.decode(simple.encode("mild mitral")).strip() == "mild mitral"


def test_get_tokenizer_takes_a_folder(tok: echotok.Tokenizer, tmp_path: Path) -> None:
    """A folder that `EchotokTokenizer` wrote serves as open_clip's `hf_tokenizer_name`."""
    pytest.importorskip("transformers")
    from echotok.adapters.transformers import EchotokTokenizer

    EchotokTokenizer.from_echotok(tok).save_pretrained(tmp_path)
    text_cfg = text_config(tok, context_length=CONTEXT_LENGTH)
    config = {"model_cfg": {"text_cfg": text_cfg | {"hf_tokenizer_name": tok.name}}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    tokenize = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    assert tokenize(TEXTS).equal(OpenClipTokenizer(tok, context_length=CONTEXT_LENGTH)(TEXTS))


def own_reports() -> list[str]:
    files = sorted((ROOT / "benchmarks" / "reports").rglob("*.txt"))
    return [file.read_text(encoding="utf-8") for file in files]


def assert_same_as_open_clip(texts: list[str], clip_bpe: ByteBPE, simple) -> int:
    """Compare ids and counts on the ASCII texts; returns how many there were."""
    compared = 0
    for text in texts:
        # open_clip repairs mojibake and HTML entities first; plain text passes through unchanged.
        if not text.isascii() or "&" in text:
            continue
        expected = simple.encode(text)
        assert count_clip_tokens(text, clip_bpe) == len(expected) + 2
        compared += 1
    return compared


def test_clip_counts_are_open_clips_on_our_reports(clip_bpe: ByteBPE, simple) -> None:
    """`count_clip_tokens` gives the untruncated length of open_clip's tokenizer."""
    texts = own_reports()
    if not texts:
        pytest.skip("benchmarks/reports is not here")
    assert assert_same_as_open_clip(texts, clip_bpe, simple) >= len(texts) // 2
    whole = simple(texts[0], context_length=1024)[0]
    assert count_clip_tokens(texts[0], clip_bpe) == int((whole != 0).sum())


def test_clip_counts_are_open_clips_on_the_corpora(
    corpus_files: list[Path], clip_bpe: ByteBPE, simple
) -> None:
    """The same holds for other people's reports, every seventh of them."""
    for file in corpus_files:
        lines = file.read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines[::7]]
        assert assert_same_as_open_clip(texts, clip_bpe, simple) > 0, file.name


def test_clip_words_get_open_clips_ids(clip_bpe: ByteBPE, simple) -> None:
    """The words of our reports get the very ids that open_clip gives them."""
    words = {word for text in own_reports() for word in text.lower().split() if word.isalpha()}
    words |= {"echocardiogram", "tapse", "regurgitation", "x", "qzvwk"}
    for word in words:
        assert list(clip_bpe.encode_word(word)) == simple.encode(word)


def test_clip_ids_keep_their_meaning(simple) -> None:
    """In `echo-clip` every id below 49406 is the token that it is in open_clip's tokenizer (I5)."""
    tok = echotok.load("echo-clip")
    for number in range(49406):
        assert tok.kind(number) == "bpe"
        assert tok.id_to_token(number) == simple.decoder[number]
    assert tok.bos_id == simple.sot_token_id == 49406
    assert simple.eot_token_id not in tok.assigned_ids


def test_echo_clip_uses_clips_words_where_no_phrase_fits(simple) -> None:
    """A word of common English that is no phrase and no value has the ids that CLIP gives it."""
    tok = echotok.load("echo-clip")
    ids = tok.encode("brontosaurus umbrellas").ids
    assert len(ids) > 4
    assert ids[1:-1] == simple.encode("brontosaurus umbrellas")
    assert np.array(ids).max() == ids[-1] == tok.eos_id
