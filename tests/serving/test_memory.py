"""Freed memory goes back."""

import platform

import psutil
import pytest

from convoy.serving import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no malloc_trim")
def test_what_is_freed_between_what_stays_is_given_back():
    process = psutil.Process()
    pieces = [bytes([i % 251]) * 4_000 for i in range(50_000)]  # 200 MB
    full = process.memory_info().rss
    kept = pieces[::100]  # what stays, all over the heap
    del pieces
    memory.give_back()
    assert full - process.memory_info().rss > 100e6
    assert len(kept) == 500
