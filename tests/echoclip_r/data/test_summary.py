"""The page on a manifest: it counts and never quotes."""

from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.summary import summarize

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
