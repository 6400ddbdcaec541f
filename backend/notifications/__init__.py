"""Telling people of incidents, wherever they are told, and hearing what they do there."""
