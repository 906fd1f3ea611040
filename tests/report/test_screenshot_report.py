"""The tool that makes the README's picture."""

import struct

import screenshot_report


def test_a_picture_of_the_asked_size_is_written(run, tmp_path):
    out = tmp_path / "figures" / "report.png"
    screenshot_report.main(run, out=out, step=2, tree=2, trajectory="r0/b1", trees=400, width=800, height=600)
    data = out.read_bytes()
    assert data[1:4] == b"PNG" and struct.unpack(">II", data[16:24]) == (800, 600) and len(data) > 20_000
