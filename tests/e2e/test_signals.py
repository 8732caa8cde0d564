"""Sounds and series: from files to what a server answers."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import scipy.io.wavfile

from convoy import predict
from convoy.data.signals import series
from convoy.pipeline import cli, config, errors, steps
from convoy.serving import client, server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TONES = {"low": 300.0, "high": 1500.0}


def tone(name: str, seed: int, rate: int) -> np.ndarray:
    """int16: a tone about the class's pitch in noise, of a third to two thirds of a second."""
    draw = np.random.default_rng(seed)
    times = np.arange(int(rate * draw.uniform(0.33, 0.66))) / rate
    wave = np.sin(2 * np.pi * TONES[name] * draw.uniform(0.9, 1.1) * times)
    return np.int16(8000 * wave + draw.normal(0, 2000, len(times)))


def sounds(folder: pathlib.Path) -> None:
    """Forty files, of two rates and of one or two channels, in folders of their classes."""
    for seed in range(40):
        name, rate = [*TONES][seed % 2], (8000, 22_050)[seed // 2 % 2]
        wave = tone(name, seed, rate)
        path = folder / ("val" if seed >= 30 else "train") / name / f"{seed}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.wavfile.write(path, rate, np.stack([wave, wave], 1) if seed % 3 else wave)
    (folder / "train" / "low" / "cut.wav").write_bytes(path.read_bytes()[:200])


def run(recipe: str, top: pathlib.Path, *overrides: str):
    job = steps.Job(
        config.load(recipe, [f"run_dir={top}/run", f"data.path={top}/data", *overrides])
    )
    return steps.run(job, "pusher")


@pytest.mark.parametrize("name", ["wave_m5", "cnn_trad_fpool3"])
def test_sounds_are_learnt_and_served(tmp_path, capsys, name):
    sounds(tmp_path / "data")
    changes = ["data.val=val", "train.batch_size=6", "train.epochs=12", "model.samples=4480"]
    result = run("configs/signals.yaml", tmp_path, f"model.name={name}", *changes)
    assert result["pushed"] is True
    assert result["metrics"]["top1"] >= 0.9
    report = (pathlib.Path(result["run_dir"]) / "report.html").read_text()
    assert "<h2>Gallery</h2>" in report
    manifest = json.loads((pathlib.Path(result["artifacts"]["example_gen"]) / "manifest.json")
                          .read_text())  # fmt: skip
    assert manifest["rejected"] == {"bad_signal": 1}
    paths = [str(tmp_path / "data" / "val" / "high" / "31.wav"),
             str(tmp_path / "data" / "val" / "low" / "32.wav")]  # fmt: skip
    payload = [pathlib.Path(path).read_bytes() for path in paths]
    local = client.load_local(result["model_dir"])(payload)
    assert local["class_name"].tolist() == [b"high", b"low"]
    running = server.start(result["model_dir"], name="tones", port=0, rest_api_port=0, poll_s=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "tones", payload, input_name="signal_bytes")
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, "tones", payload, input_name="signal_bytes")
        connection.close()
    finally:
        running.stop()
    np.testing.assert_array_equal(by_grpc["scores"], local["scores"])
    np.testing.assert_allclose(by_rest["scores"], local["scores"], atol=1e-6)
    rows = predict(result["model_dir"], [paths[0], payload[1]])
    np.testing.assert_array_equal([row["scores"] for row in rows], local["scores"])
    (tmp_path / "no.wav").write_bytes(b"no sound")
    words = [*paths, str(tmp_path / "no.wav"), "-o", str(tmp_path / "out"), "--json"]
    assert cli.main(["convoy", "predict", result["model_dir"], *words]) == errors.FAILURE
    said = capsys.readouterr()
    assert "1 of 3 failed" in said.err
    assert "begins with RIFF" in said.err
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row.get("class") for row in written] == ["high", "low", None]


def test_series_of_several_channels(tmp_path):
    """Which of two channels leads; lengths differ, arrays beside tables."""
    draw = np.random.default_rng(0)
    for n in range(60):
        lag, length = (3, -3)[n % 2], draw.integers(40, 60)
        base = draw.normal(0, 1, length + 6)
        pair = np.stack([base[3:-3], base[3 - lag : len(base) - 3 - lag]], axis=1)
        place = tmp_path / "data" / ("val" if n >= 44 else "train") / ("first", "second")[n % 2]
        place.mkdir(parents=True, exist_ok=True)
        if n % 3:
            np.save(place / f"{n}.npy", pair)
        else:
            np.savetxt(place / f"{n}.csv", pair, delimiter=",", header="a,b", comments="")
    changes = ["data.val=val", "train.batch_size=11", "train.epochs=30", "model.samples=null"]
    result = run("configs/signals.yaml", tmp_path, "model.name=series_fcn", *changes)
    assert result["metrics"]["top1"] >= 0.9
    card = pathlib.Path(result["model_dir"])
    text = next(card.rglob("model_card.md")).read_text()
    assert "WAV files of 2 channels" in text
    (row,) = predict(result["model_dir"], [pair])
    assert row["class_name"] == b"second"
    (other,) = predict(result["model_dir"], [series.encoded(pair, "it")])
    np.testing.assert_array_equal(row["scores"], other["scores"])
