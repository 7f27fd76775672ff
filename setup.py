"""The metadata is in setup.cfg; this file lets tools that look for a setup.py find it."""

from setuptools import setup

setup()
