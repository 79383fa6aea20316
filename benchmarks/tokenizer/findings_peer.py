"""medspaCy's ConText on the cases of `findings.py`; run by a Python that has medspacy.

Reads a JSON object from stdin (cases: text and the words to judge; reports), writes one to stdout.
"""

import importlib.metadata
import json
import sys
import time

import medspacy
from medspacy.ner import TargetRule


def status(entity):
    """ConText's verdict in our words; what it asserts most strongly first."""
    if entity._.is_historical:
        return "prior"
    if entity._.is_negated:
        return "absent"
    if entity._.is_uncertain or entity._.is_hypothetical:
        return "possible"
    return "present"


def main():
    """Judge every case, and read the reports against the clock."""
    question = json.load(sys.stdin)
    nlp = medspacy.load()
    matcher = nlp.get_pipe("medspacy_target_matcher")
    matcher.add([TargetRule(term, "FINDING") for term in question["terms"]])
    statuses = []
    for text, words in question["cases"]:
        wanted = {word.lower() for word in words}
        found = [status(entity) for entity in nlp(text).ents if entity.text.lower() in wanted]
        statuses.append(found or None)
    for text in question["reports"][:5]:
        nlp(text)
    begun = time.process_time()
    for text in question["reports"]:
        nlp(text)
    seconds = time.process_time() - begun
    print(json.dumps({
        "statuses": statuses,
        "reports_per_second": len(question["reports"]) / seconds,
        "version": importlib.metadata.version("medspacy"),
    }))  # fmt: skip


main()
