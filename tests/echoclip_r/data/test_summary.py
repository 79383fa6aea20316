"""The page on a manifest: it counts and never quotes."""

import re

import numpy as np
import pytest

import echotok
from echoclip_r.cli.main import main
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.summary import Histogram, summarize
from echoclip_r.text.codec import TextCodec

HEADER = "study_id,patient_id,video,report"


def write(folder, lines, *, header=HEADER, videos=("a.avi",)):
    for video in videos:
        (folder / video).touch()
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


class Words:
    """Counts words as a tokenizer of ours would count tokens."""

    name = "words"

    def encode(self, text):
        class Encoding:
            ids = text.split()

        return Encoding


def test_the_summary_counts_and_never_quotes(tmp_path):
    """Its three forms hold the same figures, and neither report text nor ids."""
    names = [f"{number}.avi" for number in range(6)]
    lines = [
        "S-1,P-1,0.avi,Zebra finding here.,train,A4C,2020-01-01,60,x",
        "S-1,P-1,1.avi,Zebra finding here.,train,A4C,2020-01-01,60,x",
        "S-2,P-2,2.avi,Zebra finding here.,train,PLAX,2021-01-01,40,x",
        f"S-3,P-3,3.avi,{'long ' * 80},test,,,,x",
        "S-4,P-4,4.avi,,test,,,,x",
        "S-5,P-5,gone.avi,Fine.,test,,,,x",
    ]
    header = f"{HEADER},split,view,date,ef,initials"
    manifest = read_manifest(write(tmp_path, lines, header=header, videos=names))
    summary = summarize(manifest, tokenizer=Words())
    figures = summary.figures
    assert figures["splits"]["all"] == {"num_patients": 3, "num_studies": 3, "num_clips": 4}
    assert figures["splits"]["train"] == {"num_patients": 2, "num_studies": 2, "num_clips": 3}
    assert figures["words_tokens"]["n"] == 3
    assert figures["num_beyond_context"] == 1
    assert figures["num_repeated_reports"] == 2
    assert (figures["first_date"], figures["last_date"]) == ("2020-01-01", "2021-01-01")
    assert figures["labels"]["ef"]["n"] == 3
    assert figures["num_rejects"] == 2
    assert "No clip is in validation" in summary.as_text()
    for page in (summary.as_text(), summary.as_markdown(), summary.as_html()):
        assert "2 (66.7%)" in page
        assert "initials" in page
        assert "there is no such file or folder" in page
        assert "lettering inside of it stays" in page
        for secret in ("Zebra", "S-1", "P-1"):
            assert secret not in page


def test_a_manifest_without_a_usable_row_still_has_a_summary(tmp_path):
    """That is when one needs it."""
    manifest = read_manifest(write(tmp_path, ["S1,P1,gone.avi,Fine."]))
    page = summarize(manifest, tokenizer=Words()).as_text()
    assert "there is no such file or folder; is the archive mounted?" in page


def test_binary_labels_are_counted_and_numbers_have_histograms(tmp_path):
    """Yes and no with their splits; bars that hold every value; what is blank is no value."""
    names = [f"{number}.avi" for number in range(40)]
    lines = [
        f"S-{number},P-{number},{number}.avi,Text {number}.,{'train' if number < 30 else 'test'},"
        f"{number % 4 == 0:d},{number % 3},{number + 0.5},{'' if number else 1}"
        for number in range(40)
    ]
    header = f"{HEADER},split,lead,grade,ef,once"
    summary = summarize(read_manifest(write(tmp_path, lines, header=header, videos=names)))
    labels = summary.figures["labels"]
    assert (labels["lead"]["yes"], labels["lead"]["no"]) == (10, 30)
    assert labels["lead"]["yes_by_split"] == {"train": 8, "validation": 0, "test": 2}
    assert (labels["once"]["yes"], labels["once"]["no"], labels["once"]["n"]) == (1, 0, 1)
    assert labels["grade"]["histogram"]["counts"] == (14, 13, 13)
    assert sum(labels["ef"]["histogram"]["counts"]) == 40
    assert labels["ef"]["histogram"]["edges"][0] == 0.5
    assert labels["ef"]["histogram"]["edges"][-1] == 39.5
    text = summary.as_text()
    assert re.search(r"^lead +40 +10 +30 +10 +8 +0 +2$", text, re.MULTILINE)
    assert re.search(r"^grade +40 .*[▁-█]{3}$", text, re.MULTILINE)
    assert re.search(r"\| ef \| 40 \| .*[▁-█]{12} \|$", summary.as_markdown(), re.MULTILINE)
    page = summary.as_html()
    assert page.count('<svg class="bars"') == 3  # words, grade, ef
    assert "0.5 to 1.5: 13" in page


@pytest.mark.parametrize("values", [[0.0], [7.0, 7.0], [0.25] * 3, [1e9, -1e9], [5.0, 1e-12]])
def test_a_histogram_holds_every_value(values):
    """Of one value, of equal ones, and of far ones."""
    found = Histogram.of(np.array(values))
    assert sum(found.counts) == len(values)
    assert found.edges[0] <= min(values) <= max(values) <= found.edges[-1]
    assert len(str(found)) == len(found.counts)


def test_tokens_are_counted_by_a_runs_tokenizer_or_by_open_clips(
    archive, untrained_folder, grown_echo, capsys
):
    """A run's folder, an artifact and open_clip's own are named in the page with a fingerprint."""
    report = "The ejection fraction is 50%."
    for name, said in (
        ("echo", "echo tokens"),
        (untrained_folder, "echo tokens"),
        (grown_echo, "echo tokens"),
        ("open_clip", "open_clip tokens"),
    ):
        command = ["summary", str(archive / "manifest.csv"), "--tokenizer", str(name)]
        assert main(command) == 0
        out = capsys.readouterr().out
        assert said in out
        if name == "open_clip":
            count = TextCodec(None).length(report)
        else:
            tokenizer = echotok.load(grown_echo if name == grown_echo else "echo")
            count = len(tokenizer.encode(report).ids)
            assert f"tokenizer {tokenizer.name}, {tokenizer.fingerprint[:12]}" in out
        assert re.search(rf"^{said} +6 .* {count} ", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([3.0, 3.0 + 4e-16], "█"),  # the same measurement, rounded in two ways
        ([1e17], "█"),
        ([1e17, 1e17 + 16], "█"),
        ([-1e308, 1e308], "█"),
        ([0.1], "█"),
        ([1e300, 1.0], "█▁▁▁▁▁▁▁▁▁▁█"),
        ([7.0], "█"),
    ],
)
def test_a_histogram_of_any_numbers(values, row):
    """Numbers that differ too little or too much for bins are in one of them."""
    histogram = Histogram.of(np.array(values))
    assert str(histogram) == row
    assert sum(histogram.counts) == len(values)
    assert len(histogram.bars) == len(histogram.counts) == len(histogram.edges) - 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_that_is_not_there_is_not_waited_for(encoding, tmp_path, capsys):
    """An encoding that is given and that the file is not in is an error and no traceback."""
    path = write(tmp_path, ["S,P,a.avi,Fine."])
    assert main(["summary", str(path), "--encoding", encoding]) == 1
    assert str(path) in capsys.readouterr().err
    path.write_bytes(path.read_text().encode(f"{encoding}-le"))
    assert main(["summary", str(path), "--encoding", encoding, "--tokenizer", "none"]) == 0


def test_a_terminal_obeys_no_cell(tmp_path):
    """Signs that no terminal prints are left out of the names of views."""
    header = f"{HEADER},view"
    path = write(tmp_path, ["S,P,a.avi,Fine.,A4C\x1b[31m"], header=header)
    text = summarize(read_manifest(path)).as_text()
    assert "view A4C [31m" in text and "\x1b" not in text
