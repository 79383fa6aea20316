"""Search in both directions, and every way that an answer is shown."""

from __future__ import annotations

import io
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.cli.main import main
from echoclip_r.data.clips import read_masked
from echoclip_r.data.shards import read_clips
from echoclip_r.embedding.embedder import embed, embed_texts, embed_video
from echoclip_r.errors import EchoclipError
from echoclip_r.model.trained import TrainedModel
from echoclip_r.search.answers import Answer, Hit, Item, find_reports, find_videos, read_pictures
from echoclip_r.search.page import to_page
from echoclip_r.search.pictures import film_strip, half_blocks
from echoclip_r.search.sheet import draw_answers
from echoclip_r.search.terminal import show

REPORTS = [
    ("r.csv:1", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:2", "There is a pacemaker lead. The LVEF is 35%."),
    ("r.csv:3", "The LVEF is 60%. No pericardial effusion."),
    ("r.csv:4", "Severe mitral regurgitation."),
]
HOSTILE = 'EF 55%. <script>alert("x")</script> & <b>bold</b>\x1b[31m red'
REAL = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm", download=False)))


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    """The real cardiac clip inside pydicom, as `prepare` would make it."""
    return read_masked(REAL, size_px=64).frames


# Search


def test_the_real_clip_is_embedded_and_searched_for(
    untrained: TrainedModel, frames: NDArray[np.uint8]
) -> None:
    """Ten frames of a DICOM file; its embedding is the mean of theirs, unit again."""
    assert frames.shape == (10, 64, 64, 3)
    mean = untrained.embed_frames(frames).astype(float).mean(axis=0)
    embedding = embed_video(untrained, frames)
    assert embedding == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    answer = find_reports(untrained, Item(name="real", frames=frames), REPORTS, k=2)
    assert [hit.rank for hit in answer.hits] == [1, 2]
    texts = [text for _, text in REPORTS]
    cosines = embed_texts(untrained, texts) @ embedding
    assert answer.hits[0].cosine == pytest.approx(cosines.max(), abs=1e-6)
    assert answer.hits[0].item.report == texts[int(np.argmax(cosines))]
    assert answer.right_rank is None


def embeddings(*rows: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_equal_reports_count_once_and_the_right_one_is_marked(untrained: TrainedModel) -> None:
    """The pool is of different texts; the rank of the clip's own report counts ties against it."""
    pool = embeddings((0.6, 0.8), (1, 0), (0.6, 0.8), (0, 1))
    query = Item(name="clip", report=REPORTS[0][1])
    answer = find_reports(
        untrained, query, REPORTS, k=9, embeddings=pool, query_embedding=embeddings((0, 1))[0]
    )
    assert answer.pool_size == 3
    assert [hit.item.name for hit in answer.hits] == ["r.csv:4", "r.csv:1", "r.csv:2"]
    assert [hit.right for hit in answer.hits] == [False, True, False]
    assert [hit.num_same for hit in answer.hits] == [1, 2, 1]
    assert answer.right_rank == 2
    pool[3] = (0.6, 0.8)
    tied = find_reports(
        untrained, query, REPORTS, embeddings=pool, query_embedding=embeddings((0, 1))[0]
    )
    assert tied.right_rank == 2
    assert tied.hits[0].right, "of equal ones the first comes first"


def test_reports_that_normalize_alike_count_once(untrained: TrainedModel) -> None:
    """One text in four ways is one candidate, and each of them is the right one."""
    ways = [
        "EF 55%. No effusion.",
        "EF 55%. NO EFFUSION.",
        "EF 55%.\nNo  effusion .",
        " ef 55 %. no effusion.",
    ]
    reports = [("other", "Severe AS."), *((f"way {n}", text) for n, text in enumerate(ways))]
    pool = embeddings((0, 1), *[(1, 0)] * 4)
    for text in ways:
        answer = find_reports(
            untrained,
            Item(name="clip", report=text),
            reports,
            embeddings=pool,
            query_embedding=embeddings((1, 0))[0],
        )
        assert (answer.pool_size, answer.right_rank) == (2, 1)
        assert [hit.num_same for hit in answer.hits] == [4, 1]
        assert [hit.right for hit in answer.hits] == [True, False]
        assert answer.hits[0].item.name == "way 0"


def test_a_clip_whose_report_normalizes_alike_is_the_right_one(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """A report in capitals still knows its own clips."""
    pool = embed(untrained, training_shards, split="test")
    report = str(pool.clips["report"].iloc[0])
    same = int((pool.clips["report"] == report).sum())
    answer = find_videos(untrained, Item(name="t", report=f" {report.upper()}\n"), pool, k=99)
    assert sum(bool(hit.right) for hit in answer.hits) == same > 0


def test_clips_are_found_for_a_report_with_their_pictures(
    untrained: TrainedModel, training_shards: Path
) -> None:
    """The best of all clips by cosine, their frames read from the shards."""
    pool = embed(untrained, training_shards, split="train")
    query = Item(name="text", report="The left atrium is severely dilated.")
    answer = find_videos(untrained, query, pool, k=3, shards_dir=training_shards)
    cosines = pool.clip_embeddings() @ embed_texts(untrained, ["" + (query.report or "")])[0]
    best = np.argsort(-cosines, kind="stable")[:3]
    rows = pool.clips.iloc[best]
    assert [hit.item.report for hit in answer.hits] == rows["report"].tolist()
    assert [hit.item.name for hit in answer.hits] == rows["study_id"].tolist()
    clips = {clip.key: clip for clip in read_clips(training_shards, split="train")}
    for hit, key in zip(answer.hits, rows["key"], strict=True):
        assert hit.item.frames is not None
        assert (hit.item.frames[1] == clips[key].decode(1)).all()
    assert find_videos(untrained, query, pool, k=99).pool_size == 44
    assert read_pictures(training_shards, []) == {}


def test_nothing_to_look_through_is_an_error(
    untrained: TrainedModel, frames: NDArray[np.uint8]
) -> None:
    """No report, or none asked for."""
    with pytest.raises(EchoclipError, match="no report to look through; is it the right file"):
        find_reports(untrained, Item(name="clip", frames=frames), [])
    with pytest.raises(ValueError, match="k is 0; it must be at least 1"):
        find_reports(untrained, Item(name="clip", frames=frames), REPORTS, k=0)


# What an answer looks like


@pytest.fixture
def answer(frames: NDArray[np.uint8]) -> Answer:
    """Of a clip whose own report is hostile, and was found second."""
    hits = (
        Hit(rank=1, cosine=0.91, item=Item(name="S-2", report="EF 55%. Mild AS."), right=False),
        Hit(rank=2, cosine=-0.2, item=Item(name="S-1", report=HOSTILE), right=True, num_same=3),
    )
    query = Item(name="<i>S-1</i>", report=HOSTILE, frames=frames)
    return Answer(query=query, hits=hits, pool_size=500, right_rank=2)


class _Tags(HTMLParser):
    """Checks that tags close in order, and keeps their names, addresses and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("coloured", [True, False])
def test_the_page_is_whole_and_a_report_with_html_is_text(
    answer: Answer, untrained: TrainedModel, coloured: bool
) -> None:
    """Well-formed, no script, nothing fetched, controls shown as pictures."""
    tokenizer = untrained.text.tokenizer if coloured else None
    page = to_page([answer], title="a < b", about="100 % & more", tokenizer=tokenizer)
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert "b" in tags.seen  # ours, around the rank
    assert all(address.startswith("data:image/jpeg;base64,") for address in tags.addresses)
    assert tags.text.count('<script>alert("x")</script> & <b>bold</b>\u241b[31m red') == 2
    assert "rank 2 of 500" in tags.text
    assert "3 reports of the pool are this text" in tags.text
    assert "1 of its 2 sentences are in the right one, too" in tags.text
    assert "the right one" in tags.text
    assert ('class="phrase"' in page or 'class="value"' in page) is coloured
    assert "default-src 'none'" in page
    assert '<meta name="viewport"' in page
    assert "@media print" in page


def test_a_page_without_pictures_or_own_report(untrained: TrainedModel) -> None:
    """Clips found for a report may have no frames at hand."""
    hit = Hit(rank=1, cosine=0.5, item=Item(name="S-9"))
    page = to_page(
        [Answer(query=Item(name="note.txt", report="Mild AS."), hits=(hit,), pool_size=1)],
        title="t",
        about="a",
        tokenizer=untrained.text.tokenizer,
    )
    assert "The report</h3>" in page
    assert "<img" not in page
    assert "The best of 1." in page


def test_the_sheet_shows_clips_and_reports(answer: Answer) -> None:
    """One row an answer; a long report is cut and says so by its height."""
    one = draw_answers([answer], title="T", foot="simulated")
    two = draw_answers([answer, answer], title="T", foot="simulated")
    assert one.width == two.width
    assert two.height > one.height
    assert len(np.unique(np.asarray(one))) > 50
    long = Answer(
        query=Item(name="q", report="A sentence of some length. " * 400),
        hits=answer.hits,
        pool_size=9,
    )
    cut = draw_answers([long], title="T", foot="f", max_lines=10)
    assert cut.height < 600


def test_a_film_strip_goes_over_the_whole_clip(frames: NDArray[np.uint8]) -> None:
    """First frame first, last frame last."""
    strip = np.asarray(film_strip(frames, num=2, side_px=64))
    assert strip.shape == (64, 128, 3)
    assert (strip[:, :64] == frames[0]).all()
    assert (strip[:, 64:] == frames[-1]).all()


def test_the_terminal_gets_marked_reports_and_no_control_characters(
    answer: Answer, untrained: TrainedModel, capsys: Any
) -> None:
    """Piped, there is no picture and no colour; every report is one line."""
    show(answer, untrained.text.tokenizer)
    out = capsys.readouterr().out
    assert out.startswith("<i>S-1</i>: the best 2 of 500\n")
    assert "2. cosine -0.200, S-1, 3 times the same text" in out
    assert "<mild>" in out.lower()
    assert "\x1b" not in out
    assert "▀" not in out
    show(answer, None)
    assert HOSTILE.replace("\x1b", "\u241b") in capsys.readouterr().out


def test_a_terminal_shows_the_clip(answer: Answer, monkeypatch: Any) -> None:
    """In half blocks, two pixels a character, where a person watches."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(answer, None)
    assert terminal.getvalue().count("▀") == 66 * 11
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[:, :4] = 255
    lines = half_blocks(frames).plain.splitlines()
    assert [len(line) for line in lines] == [66] * 11


# The command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    lines = [f'{number},"{text}"' for number, (_, text) in enumerate(REPORTS)]
    path.write_text("\n".join(["id,finding", *lines]) + "\n", encoding="utf-8")
    return path


def run(*words: object) -> int:
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)


def test_retrieve_reports_for_a_real_clip(
    untrained_folder: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    """On the terminal, as JSON, as a page and as a picture."""
    command = ("retrieve", untrained_folder, "--video", REAL, "--reports", table)
    files = ("--html", tmp_path / "page.html", "--picture", tmp_path / "clip.png")
    assert run(*command, "--column", "finding", "-k", 2, *files) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("examples_ybr_color.dcm: the best 2 of 3\n")
    assert "page.html; it holds reports: keep it as them" in captured.err
    assert (tmp_path / "page.html").read_text().count("<article") == 2
    with Image.open(tmp_path / "clip.png") as image:
        assert image.size == (8 * 160, 160)
    assert run(*command, "--column", "finding", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pool_size"], len(found["hits"])) == (3, 3)
    assert {hit["num_same"] for hit in found["hits"]} == {1, 2}


def test_retrieve_clips_for_a_report(
    untrained_folder: Path, training_shards: Path, tmp_path: Path, capsys: Any
) -> None:
    """From shards, keeping the embeddings; then from those alone, with the same answer."""
    (tmp_path / "note.txt").write_text("The left atrium is severely dilated.", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--report", tmp_path / "note.txt", "-k", 2)
    kept = ("--embeddings", tmp_path / "kept")
    assert run(*command, "--shards", training_shards, *kept, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["pool_size"] == 6
    assert run(*command, *kept, "--json", "--picture", tmp_path / "best.png") == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "best.png").exists()


def test_embeddings_of_another_model_are_refused(
    untrained_folder: Path,
    other_model: TrainedModel,
    training_shards: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    """Cosines between two models' spaces mean nothing."""
    embed(other_model, training_shards, split="test", out=tmp_path / "kept")
    (tmp_path / "note.txt").write_text("Mild.", encoding="utf-8")
    command = ("retrieve", untrained_folder, "--report", tmp_path / "note.txt")
    assert run(*command, "--embeddings", tmp_path / "kept") == 1
    assert "made by another model" in capsys.readouterr().err


def test_a_grown_tokenizer_is_taken_and_another_refused(
    untrained_folder: Path, grown_echo: Path, table: Path, capsys: Any
) -> None:
    """The checkpoint knows its own tokenizer (I6)."""
    command = ("retrieve", untrained_folder, "--video", REAL, "--reports", table)
    command = (*command, "--column", "finding", "--json")
    assert run(*command, "--tokenizer", grown_echo) == 0
    capsys.readouterr()
    assert run(*command, "--tokenizer", "echo-clip") == 1
    assert "echo-clip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of the arguments --video --report is required"),
        (("--video", "v", "--report", "r"), "not allowed with argument"),
        (("--video", "v"), "--video needs --reports"),
        (("--report", "r"), "--report needs --shards or --embeddings"),
        (("--video", "v", "--reports", "r", "-k", "0"), "k is 0, frames 10; give at least 1"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], message: str, capsys: Any) -> None:
    """Before anything is loaded."""
    assert run("retrieve", "nowhere", *words) == 2
    assert message in capsys.readouterr().err


def test_errors_name_files_and_never_quote_a_report(
    untrained_folder: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    """A clip that is none, a column that is not there, a report file with several (I9)."""
    (tmp_path / "bad.avi").write_bytes(b"no video")
    clip = ("retrieve", untrained_folder, "--video", tmp_path / "bad.avi", "--reports", table)
    assert run(*clip, "--column", "finding") == 1
    assert "bad.avi" in capsys.readouterr().err
    assert run("retrieve", untrained_folder, "--video", REAL, "--reports", table) == 1
    first = capsys.readouterr().err
    note = ("retrieve", untrained_folder, "--report", table, "--column", "finding")
    assert run(*note, "--shards", tmp_path) == 1
    second = capsys.readouterr().err
    assert "4 reports; --report takes a file with one" in second
    assert "LVEF" not in first + second
