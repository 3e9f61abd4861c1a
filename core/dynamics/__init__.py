"""A run through training: what every checkpoint shows, epoch by epoch.

results      the columns that pages draw, and how checkpoints are joined
measuring    one checkpoint, one forward pass, every layer
compute      a whole run, each checkpoint once; what the job queue calls
request      a run, its files and a data set, as the job queue is asked
kept         finished measurements, bundled with a run or in the cache; imports no torch
alignment    PCA axes turned from epoch to epoch, so that points move instead of jumping
phases       from when on the training error is zero
"""
