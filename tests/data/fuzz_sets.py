"""One small set of each format that a reader reads: {format: function of {name: bytes}}."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import PIL.Image

from convoy.data.signals import wav
from tests.data import annotation_sets, build, channel_files


def picture(seed=0, kind="JPEG", **options):
    return build.picture(10, 12, seed=seed, kind=kind, **options)


def raster(values, kind="PNG"):
    return build.encoded(PIL.Image.fromarray(np.array(values, np.uint8)), kind)


MASK = np.zeros((10, 12), np.uint8)
MASK[2:6, 3:9] = 1
SQUARE = [[2, 2], [8, 2], [8, 7], [2, 7]]


def text(value):
    return json.dumps(value).encode() if not isinstance(value, str) else value.encode()


def coco():
    entries = [{"id": i, "file_name": f"{i}.jpg", "height": 10, "width": 12} for i in (1, 2)]
    rle = {"size": [10, 12], "counts": [30, 20, 70]}
    people = {"keypoints": [2, 3, 2, 5, 5, 1, 0, 0, 0], "num_keypoints": 2}
    rows = [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 2, 6, 5], "area": 30, "iscrowd": 0,
         "segmentation": [[2, 2, 8, 2, 8, 7, 2, 7]], **people},
        {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0, 0, 5, 10], "area": 20, "iscrowd": 1,
         "segmentation": rle, "keypoints": [0] * 9, "num_keypoints": 0},
    ]  # fmt: skip
    kind = {"id": 3, "name": "cat", "keypoints": ["nose", "left_ear", "right_ear"]}
    whole = {"images": entries, "annotations": rows, "categories": [kind]}
    return {
        "annotations/instances_train2017.json": text(whole),
        "train2017/1.jpg": picture(1),
        "train2017/2.jpg": picture(2),
    }


def voc():
    objects = build.xml_object("dog", (2, 3, 8, 9), "<difficult>0</difficult>")
    found = {"ImageSets/Main/train.txt": b"1\n2\n"}
    for i in (1, 2):
        found[f"JPEGImages/{i}.jpg"] = picture(i)
        found[f"Annotations/{i}.xml"] = build.annotation(objects, (10, 12)).encode()
        found[f"SegmentationClass/{i}.png"] = raster(MASK)
        found[f"SegmentationObject/{i}.png"] = raster(MASK)
    return found


def voc_text():
    lines = [
        "# PASCAL Annotation Version 1.00", 'Image filename : "VOC2006/PNGImages/1.png"',
        "Image size (X x Y x C) : 12 x 10 x 3", "# Top left pixel co-ordinates : (1, 1)",
        'Objects with ground truth : 1 { "PAScat" }',
        'Original label for object 1 "PAScat" : "PAScatTrunc"',
        'Bounding box for object 1 "PAScat" (Xmin, Ymin) - (Xmax, Ymax) : (2, 3) - (8, 9)',
    ]  # fmt: skip
    return {
        "Annotations/1.txt": "\r\n".join(lines).encode(),
        "PNGImages/1.png": picture(1, "PNG"),
        "ImageSets/train.txt": b"1\n",
    }


def cifar():
    rows = b"".join(bytes([k]) + bytes(range(256)) * 12 for k in range(3))
    return {
        "batches.meta.txt": "\n".join(f"class{i}" for i in range(10)).encode(),
        "data_batch_1.bin": rows,
        "test_batch.bin": rows,
    }


def idx():
    images = struct.pack(">4I", 0x803, 3, 4, 5) + bytes(range(60))
    labels = struct.pack(">2I", 0x801, 3) + bytes([0, 1, 2])
    return {
        "train-images-idx3-ubyte": images,
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte.gz": gzip.compress(images, mtime=0),
        "t10k-labels-idx1-ubyte.gz": gzip.compress(labels, mtime=0),
    }


def yolo():
    return {
        "data.yaml": b"train: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n",
        "images/train/1.jpg": picture(1),
        "labels/train/1.txt": b"0 0.5 0.5 0.4 0.3\n1 0.1 0.1 0.9 0.1 0.5 0.9\n",
        "images/val/2.jpg": picture(2),
        "labels/val/2.txt": b"1 0.5 0.5 0.2 0.2\n",
    }


def labelme():
    shapes = [
        {"label": "cat", "points": SQUARE, "shape_type": "polygon", "group_id": None, "flags": {}},
        {"label": "dog", "points": SQUARE[::2], "shape_type": "rectangle"},
    ]
    whole = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": "1.jpg"}
    whole |= {"imageData": None, "imageHeight": 10, "imageWidth": 12}
    return {"1.json": text(whole), "1.jpg": picture(1)}


def via():
    xs, ys = zip(*SQUARE, strict=True)
    regions = [
        {"shape_attributes": {"name": "polygon", "all_points_x": xs, "all_points_y": ys},
         "region_attributes": {"name": "cat"}},
        {"shape_attributes": {"name": "circle", "cx": 5, "cy": 5, "r": 3},
         "region_attributes": {"name": "dog"}},
    ]  # fmt: skip
    row = {"filename": "1.jpg", "size": 900, "regions": regions, "file_attributes": {}}
    return {"train/via_region_data.json": text({"1.jpg900": row}), "train/1.jpg": picture(1)}


def csv():
    rows = "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,12,10,cat,1,2,8,9\n"
    return {"train_labels.csv": text(rows + "2.jpg,12,10,dog,0,0,5,5\n"), "1.jpg": picture(1),
            "2.jpg": picture(2)}  # fmt: skip


def keypoints():
    rows = ",nose_x,nose_y,left_eye_x,left_eye_y\n1.jpg,3,4,5,6\n2.jpg,1,2,,\n"
    return {"training_keypoints.csv": text(rows), "training/1.jpg": picture(1),
            "training/2.jpg": picture(2)}  # fmt: skip


def masks():
    return {
        "train/a/images/a.png": picture(1, "PNG"),
        "train/a/masks/1.png": raster(MASK * 255),
        "train/a/masks/2.png": raster((1 - MASK) * 255),
    }


def segmentation():
    return {
        "images/train/1.png": picture(1, "PNG"),
        "annotations/train/1.png": raster(MASK),
        "images/val/2.png": picture(2, "PNG"),
        "annotations/val/2.png": raster(MASK),
    }


def pairs():
    return {
        "train/blur/1.png": picture(1, "PNG"),
        "train/sharp/1.png": picture(2, "PNG"),
        "test/blur/2.jpg": picture(3),
        "test/sharp/2.jpg": picture(4),
    }


def mpii():
    joints = [[1 + i % 5, 2 + i % 7] for i in range(16)]
    person = {"image": "1.jpg", "joints": joints, "joints_vis": [1, 0] * 8}
    person |= {"center": [5, 5], "scale": 1.2}
    return {"annot/train.json": text([person]), "images/1.jpg": picture(1)}


def tiny_imagenet():
    jpeg = build.picture(64, 64)
    found = {"wnids.txt": b"n01443537\nn01629819\n", "words.txt": b"n01443537\tgoldfish\n"}
    for wnid in ("n01443537", "n01629819"):
        found[f"train/{wnid}/images/{wnid}_0.JPEG"] = jpeg
        found[f"train/{wnid}/{wnid}_boxes.txt"] = f"{wnid}_0.JPEG\t0\t5\t62\t60\n".encode()
    found["val/images/val_0.JPEG"] = jpeg
    found["val/val_annotations.txt"] = b"val_0.JPEG\tn01443537\t0\t0\t63\t40\n"
    return found


def imagenet():
    xml = build.annotation(build.xml_object("n01440764", (1, 2, 8, 9)), (10, 12))
    return {
        "train/n01440764/n01440764_1.JPEG": picture(1),
        "train/n01443537/n01443537_1.JPEG": picture(2),
        "val/n01440764/ILSVRC2012_val_00000001.JPEG": picture(3),
        "bbox/ILSVRC2012_val_00000001.xml": xml.encode(),
    }


def signals():
    sound = wav.encode(np.float32([[0.5, 0.1], [-0.5, 0.2], [0.0, 0.3]]), 8000)
    return {
        "yes/1.wav": sound,
        "no/2.wav": sound,
        "yes/3.npy": channel_files.npy(np.float32([[1, 2], [3, 4], [5, 6]])),
        "no/4.csv": b"x,y\n1,2\n3,4\n",
        "validation_list.txt": b"yes/1.wav\n",
    }


def digits_devkit():
    return {f"VOC2007/{name}": data for name, data in voc().items()}


SETS = {
    **annotation_sets.SETS,
    "digits": digits_devkit,
    "tiny_imagenet": tiny_imagenet,
    "imagenet": imagenet,
    "voc": voc,
    "voc_text": voc_text,
    "coco": coco,
    "mpii": mpii,
    "cifar": cifar,
    "idx": idx,
    "yolo": yolo,
    "labelme": labelme,
    "via": via,
    "signals": signals,
    "csv": csv,
    "keypoints": keypoints,
    "masks": masks,
    "segmentation": segmentation,
    "pairs": pairs,
    "style": lambda: {"content/1.jpg": picture(1), "style/2.png": picture(2, "PNG")},
    "text": lambda: {
        "rt-polarity.pos": "a fine film .\nso good it hurts \u00e9\n".encode(),
        "rt-polarity.neg": b"simply dull\nno , thanks\n",
    },
    "folder": lambda: {
        "cat/1.jpg": picture(1),
        "dog/2.png": picture(2, "PNG"),
        "dog/3.gif": picture(3, "GIF"),
        "dog/4.bmp": picture(4, "BMP"),
        "cat/5.tif": picture(5, "TIFF", compression="tiff_lzw"),
        "cat/6.webp": picture(6, "WEBP"),
        "cat/7.ppm": picture(7, "PPM"),
    },
    "super_resolution": lambda: {"Train/1.png": picture(1, "PNG"), "Test/2.bmp": picture(2, "BMP")},
    "pictures": lambda: {"1.jpg": picture(1), "a/2.png": picture(2, "PNG")},
}
