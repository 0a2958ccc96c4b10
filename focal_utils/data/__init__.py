"""The data sets: each loader gives one `ImageSet`, one `PictureSet`, or pictures as they are."""

from focal_utils.data.arrays import read_npz, write_npz
from focal_utils.data.corruptions import CORRUPTIONS, corrupt
from focal_utils.data.folder import FolderReport, load_folder
from focal_utils.data.gtsrb import GTSRB_CLASSES, MIRRORED, TEST_COUNTS, TRAIN_COUNTS, read_official, validation_mask
from focal_utils.data.imageset import PARTS, ImageSet, as_images, as_labels
from focal_utils.data.loaders import load_blood_cells, load_cifar10, load_gtsrb, load_medmnist, load_photos
from focal_utils.data.nuclei import PictureSet, borders, kind_of, load_nuclei, matches, same_origin, touching
from focal_utils.data.pictures import fit_picture, picture_array, read_picture
from focal_utils.data.resizing import resize_bilinear
from focal_utils.data.signs import RENDERED_CLASSES, render_sign, render_signs, sign_at, silhouette
