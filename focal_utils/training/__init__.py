"""Training: the recipe, its optimizers, batches, augmentation, backups and log, and what came of it."""

from focal_utils.training.augment import (
    add_mirrored,
    augment_cells,
    augment_photographs,
    augment_signs,
    augment_signs_strongly,
    augment_small_photographs,
    augment_ultrasound,
    rebalanced,
)
from focal_utils.training.backup import Backup, Best, save
from focal_utils.training.batches import training_batches, validation_batches
from focal_utils.training.crops import augment_pictures, crop_batches, targets, tiles
from focal_utils.training.evaluate import accuracy, confusion_matrix, nearest_neighbour, predict
from focal_utils.training.finetuning import FineTuned, batch_that_fits, finetune, started
from focal_utils.training.log import Progress, StopAtNaN, best_logged, cut_log
from focal_utils.training.objects import (
    PROMINENCE,
    SMALLEST,
    SMOOTH,
    THRESHOLDS,
    average_precision,
    dice,
    find_nuclei,
    iou,
    judge,
    object_ious,
    pixel_logits,
    score,
    separate,
    without_small,
)
from focal_utils.training.optimizers import OPTIMIZERS, make_optimizer, with_layer_rates
from focal_utils.training.rates import layer_rates, layerwise
from focal_utils.training.recipe import compile_model, compile_with_rates, make_variables, train
from focal_utils.training.segment import OutlineLoss, pixel_dice, train_segmenter
