"""The course's studies, run and written up: scripts/reproduce.

study.py     what a study is: the sweeps that it runs, and the function that writes its section of the page
records.py   what is recorded in a home
running.py   runs sweeps in a home, and notes how long each took
claims.py    what the course says, and whether it holds by the figures
paired.py    whether two choices differ in any figure of their trials
curves.py    learning curves by choice, when they come to a value, figures by layer
writing.py   tables and plots of a section
page.py      the page as a whole
studies/     one file a study, or a few that belong together
"""
