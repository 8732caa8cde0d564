"""The first weights of networks that say what they see; see initial_laws.py."""

from __future__ import annotations

from tests.models.initial_laws import GLOROT, TORCH, Law, normal, row, uniform

CAPTIONERS = {
    ("show_and_tell",): row(
        "mobilenet_v1's; im2txt: uniform in +-0.08, biases 0, those of the forget gates 1",
        # 0.08 / sqrt(3)
        {"picture/kernel": 0.046188, "speaker/vectors": 0.046188, "speaker/words_kernel": 0.046188},
        laws={
            "picture/kernel": uniform(0.08),
            "speaker/input_bias": Law("any"),  # in test_captioning.py
            "speaker/words_bias": Law("constant"),
            "speaker/*": uniform(0.08),
            "*/kernel": GLOROT,
        },
    ),
    ("neuraltalk2",): row(
        "vgg16's; Torch7's defaults: +-1 / sqrt(fan-in), of a LookupTable N(0, 1)",
        # 1 / sqrt(3 * 4096); 1 / sqrt(3 * 512)
        {
            "picture/kernel": 0.0090211,
            "speaker/state_bias": 0.025516,
            "speaker/words_kernel": 0.025516,
            "speaker/vectors": 1.0,
        },
        laws={
            "picture/*": TORCH,
            "speaker/vectors": normal(1.0),
            "speaker/*": uniform(512**-0.5),
            "*/kernel": GLOROT,
        },
    ),
}
