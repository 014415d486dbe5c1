"""Decisions without input or output: plain functions on frozen values, no clock, no network, no Azure."""
