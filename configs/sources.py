"""The eight sources of the paper: lists in the layout of the original's data root."""

from engine.config import Source

EIGHT_SOURCES = {
    "nyuv2_depth": Source(
        train="nyu_depth_v2/nyuv2_sync_image_depth.json", weight=0.10, val="nyu_depth_v2/nyuv2_test_image_depth.json"
    ),
    "ade20k_semantic": Source(
        train="ade20k/ade20k_training_image_semantic.json",
        weight=0.20,
        val="ade20k/ade20k_validation_image_semantic.json",
    ),
    "coco_instance": Source(
        train="coco/pano_ca_inst/coco_train_image_panoptic_inst.json",
        weight=0.15,
        val="coco/pano_ca_inst/coco_val_image_panoptic_inst.json",
    ),
    "coco_semantic": Source(
        train="coco/pano_sem_seg/coco_train2017_image_panoptic_sem_seg.json",
        weight=0.25,
        val="coco/pano_sem_seg/coco_val2017_image_panoptic_sem_seg.json",
    ),
    "coco_pose": Source(
        train="coco_pose/coco_pose_256x192_train.json", weight=0.20, val="coco_pose/coco_pose_256x192_val.json"
    ),
    "denoise": Source(train="denoise/denoise_ssid_train.json", weight=0.15, val="denoise/denoise_ssid_val.json"),
    "derain": Source(train="derain/derain_train.json", weight=0.05, val="derain/derain_test_rain100h.json"),
    "enhance": Source(
        train="light_enhance/enhance_lol_train.json", weight=0.05, val="light_enhance/enhance_lol_val.json"
    ),
}
