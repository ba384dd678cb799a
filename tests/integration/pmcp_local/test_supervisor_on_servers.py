"""The supervisor with real PostgreSQL, Valkey and model: what it starts is gone when it is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis

NewStack = Callable[..., "StackProcess"]
