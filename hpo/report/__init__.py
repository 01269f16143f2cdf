"""`hpo report`: a study as one page that answers the questions that people have after a sweep."""
