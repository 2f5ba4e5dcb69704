"""Which files are pictures, by the ends of their names (lower case, without a dot), and how large. Loads nothing."""

# What `decode` reads.
READABLE = (
    *("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "pbm", "pnm"),
    *("avif", "heic", "heif"),
)
# What `raster_files` reads.
RASTERS = (*READABLE, "btf", "npy")
# What `strips` writes, row by row.
IN_STRIPS = ("png", "tif", "tiff", "npy")
# What `encode` writes.
WRITABLE = ("png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp", "gif", "ppm", "avif")

MAX_PIXELS = 178_956_970  # where Pillow itself refuses
