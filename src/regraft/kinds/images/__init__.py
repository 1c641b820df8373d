"""Images: what they are called, and where that is which reads, prepares and looks at them.

decoding      bytes to upright RGB
bounds        what would take a decoder hours is refused
transform     RGB to the pixels of a backbone, as an ONNX graph
augment       variants for training
attributes    plain facts on a photo
examiner      what may give a class away, what may be wrong with a photo
"""

from regraft.kinds.kind import Kind, Part

SUFFIXES = frozenset(
    f".{ending}"
    for endings in (
        *("jpg jpeg jpe jfif mpo", "png apng", "gif", "webp", "tif tiff", "bmp dib"),
        *("heic heics heif heifs hif", "avif avifs", "jp2 j2k jpf jpx jpc j2c"),
        *("ppm pgm pbm pnm pfm", "tga", "ico cur icns", "psd", "pcx", "dds", "qoi"),
        *("sgi rgb rgba bw", "ras", "xbm xpm"),
    )
    for ending in endings.split()
)

KIND = Kind(
    name="image",
    thing="photo",
    things="photos",
    noun="image",
    usual="photos in one folder per class (.jpg, .png, .webp...)",
    example="photo.jpg",
    suffixes=SUFFIXES,
    extent="pixels",
    others="cameras, places or light",
    depths=("texture and fine detail", "parts and patterns", "objects and scenes"),
    is_picture=True,
    graph_input=("image", "tensor(uint8)", 3),
    reader=Part("regraft.kinds.images.decoding:READER"),
    transform=Part("regraft.kinds.images.transform:ImageTransform.from_dict"),
    examiner=Part("regraft.kinds.images.examiner:EXAMINER"),
    backbones=Part("regraft.backbones.built_in:OF_IMAGES"),
    similarity=Part("regraft.racing.similarity:OF_PHOTOS"),
    copies=Part("regraft.inspection.issues.copies:OF_PHOTOS"),
    tuning=Part("regraft.approaches.fine_tune:OF_PHOTOS"),
    scratch=Part("regraft.approaches.scratch:untrained"),
    sizes=Part("regraft.reporting.sizes:of_photos"),
    form=Part("regraft.exporting.forms:OF_PHOTOS"),
    intake=Part("regraft.serving.intake:OF_PHOTOS"),
)
