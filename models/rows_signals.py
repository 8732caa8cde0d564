"""The table of networks for sounds and series: name -> Row."""

from __future__ import annotations

from convoy.models.rows import Family, Row
from convoy.models.spec import Signal

WAVE_CNN = Family(
    "convoy.models.signals.wave_cnn",
    "signals",
    "Dai et al., Very Deep Convolutional Neural Networks for Raw Waveforms, "
    "https://arxiv.org/abs/1610.00087",
    2017,
    options=("dropout", "samples"),
)
SPECTROGRAM_CNN = Family(
    "convoy.models.signals.spectrogram_cnn",
    "signals",
    "Sainath and Parada, Convolutional Neural Networks for Small-footprint Keyword Spotting, "
    "https://www.isca-archive.org/interspeech_2015/sainath15b_interspeech.html",
    2015,
    options=("dropout", "samples"),
)
SERIES_FCN = Family(
    "convoy.models.signals.series_fcn",
    "signals",
    "Wang, Yan, Oates, Time Series Classification from Scratch with Deep Neural Networks, "
    "https://arxiv.org/abs/1611.06455",
    2017,
    options=("dropout", "samples", "series"),
)
# Four seconds at 8 kHz; 32 windows of 25 ms every 10 ms; a series of the UCR archive's ECG200.
HEARD = Signal(32_000, rate=8_000, standardized=True)
SPOTTED = Signal(4_960, rate=16_000)
SERIES = Signal(96)

ROWS = {
    "wave_m3": Row(WAVE_CNN, 220_682, 557_058_560, 10, HEARD),
    "wave_m5": Row(WAVE_CNN, 558_090, 278_533_120, 10, HEARD),
    "wave_m11": Row(WAVE_CNN, 1_784_202, 224_990_208, 10, HEARD),
    "wave_m18": Row(WAVE_CNN, 3_679_882, 396_628_992, 10, HEARD),
    "cnn_trad_fpool3": Row(SPECTROGRAM_CNN, 244_516, 9_705_984, 4, SPOTTED),
    "series_fcn": Row(SERIES_FCN, 264_962, 25_264_384, 2, SERIES),
}
