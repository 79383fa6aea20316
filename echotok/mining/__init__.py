"""From reports to a phrase table: `echotok mine`.

Reading order: `pipeline` names the steps; `privacy` finds what may name a person; `store` takes the
reports and gives `segments`; `views`, `runs` and `candidates` find what could be a phrase, `words`
what could train the fallback; `preparation` holds both, and `endings` tells which phrases break off
in the middle; `selection` chooses the phrases, `assembly` makes the table, `sheet` shows it.
"""
