"""The status page: what the scaler knows and does, for people, kept up to date while they look.

Reading order: `view.py` (what is shown), `composition.py` (how that is found), `html_page.py` (how
it is drawn), `changes.py` and `feed.py` (what of it is sent when), `web.py`.
"""
