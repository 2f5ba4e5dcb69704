"""Which files are pictures, by the ends of their names: in lower case, without a dot. Loads nothing."""

# What `decode` reads.
READABLE = (
    *("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "pbm", "pnm"),
    *("avif", "heic", "heif"),
)
# What `raster_files` reads.
RASTERS = (*READABLE, "btf", "npy")
