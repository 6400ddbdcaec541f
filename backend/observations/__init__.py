"""Predictions and labels: validated, made durable in a spool, committed to Delta Lake, scanned.

    payload ── validation ──► table ── store.accept ──► spool segment (fsynced)   API, CLI, backfill
    gateway row ── validation ──► spool_log.SpoolLog (group commit, fsynced)      gateway
    spool ── writer.commit_spool ──► <observations>/<model>/{predictions,labels}  one writer
    reader.scan / window_counts / recent ◄── Delta snapshots                      everyone

Functions take paths, so that tests and tools can point them anywhere. Nobody but `writer` writes Delta.
"""
