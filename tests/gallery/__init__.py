"""The pictures of docs/gallery.md and of the README's tour, taken from the running demo: `make gallery`.

shots.py    what is shown of each page, to whom, and the sentence beside it
story.py    a degradation, its incident, a change and its approval, played in the demo
taking.py   Chromium, and files that are small enough
"""
