"""Where sentences end, as a table: each text stands as the sentences that it must fall into.

Between two sentences of a case stands one space, or what the first one ends with in `\\n`.
"""

SENTENCES: tuple[tuple[str, ...], ...] = (
    # Abbreviations that something follows.
    ("Seen by Dr. Example.", "No effusion."),
    ("Read by Prof. Example with Dr. J. Example.", "Normal study."),
    ("Dr. A. B. Example read it.", "Normal."),
    ("LVEF is approx. 55 %.", "No AS."),
    ("APPROX. FIFTY PERCENT.", "NO AS."),
    ("A St. Jude prosthesis is seen.", "It is well seated."),
    ("A no. 21 valve, St. Jude, in aortic position.", "No leak."),
    ("Size No. 21.", "No leak."),
    ("Implanted in Jan. 2020.", "No change since Feb. 3, 2021."),
    ("Seen in Sept. and Oct. of that year.", "Stable."),
    ("Gradients, e.g. the mean one, are low.", "No AS."),
    ("No change vs. prior.", "EF 55 %."),
    ("See Fig. 2 for the wall segments.", "Normal."),
    ("As in Example et al. 2015.", "Normal."),
    ("PASP max. 45 mm. Hg at rest.", "Normal RV."),
    ("Done at 10 a.m. in the ward.", "Normal."),
    ("Mr. Example was examined.", "Trace MR."),
    ("LVOT diam. 2.1 cm.", "LA normal."),
    # The same words where they end a sentence.
    ("Trace MR.", "No AS."),
    ("trace mr.", "no as."),
    ("Effusion: no.", "Thrombus: no."),
    ("Depressed ST.", "No effusion."),
    ("LVIDd 45 mm.", "LA 38 mm.", "2 leaflets."),
    ("Last seen in Jan.", "No change."),
    ("Done at 10 a.m.", "The LV is normal."),
    ("LA mildly dil.", "LV normal."),
    ("Diastolic function grade I.", "No effusion."),
    # Numbers and lists.
    ("EF 55.5 %, E/e' 12.5.", "TAPSE 2.1 cm."),
    ("1. Mild MR.", "2. No AS."),
    ("1. Mild MR\n", "2. No AS\n", "3. EF 55 %"),
    ("1) Mild MR\n", "2) no AS"),
    ("A. Left ventricle is normal.", "B. Right ventricle is normal."),
    ("II. Mitral valve: normal."),
    ("- mild MR\n", "- no AS\n", "- EF 55 %"),
    ("\u2022 mild MR\n", "\u2022 no AS"),
    ("* Mild MR;\n", "* no AS;"),
    # Lines.
    ("LV: normal\n", "MR: severe"),
    ("LV: normal\r\n", "MR: severe"),
    ("LV: normal\r", "MR: severe"),
    ("lv: normal\n", "mr: severe"),
    ("mild mitral regurgitation;\n", "no aortic stenosis;\n", "normal rv"),
    ("mild mitral regurgitation\n", "no aortic stenosis"),
    ("FINDINGS\n", "LV is normal\n", "\n", "CONCLUSION\n", "Normal"),
    ("There is mild mitral regurgitation and there is\nno aortic stenosis."),
    ("There is no evidence of\nPericardial effusion."),
    ("The left ventricle is normal in size,\nwith preserved function.", "No effusion."),
    # Other marks.
    ("Is there a thrombus?", "It cannot be excluded."),
    ("? vegetation on the mitral valve.", "Clinical correlation."),
    ("No AS!", "No AR!"),
    ("Normal study (no MR.)", "EF 55 %."),
    ('He said "no pain."', "EF 55 %."),
    ("EF 55 %...", "No AS."),
)
