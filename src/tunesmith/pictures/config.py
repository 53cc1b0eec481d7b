"""The recipe's `data` section for pictures: where they are, what is said of them, how they are cut."""

from typing import Literal

from pydantic import model_validator

from tunesmith.core.config import Config
from tunesmith.core.errors import UserError

SMALLEST = 16  # pixels: below it there is nothing for a denoiser to see


class Pictures(Config):
    """Pictures of the user, cut to the shapes that a base reads."""

    train: str | tuple[str, ...]
    """A folder of pictures (png, jpg, webp, bmp, tiff, gif) with its sub-folders, one picture, or several of these."""
    validation: str | None = None
    """A folder of pictures to choose the best weights by. Without it a part is split off `train`."""
    split: float = 0.1
    """The share of `train` held out for the validation loss, by content. Of fewer than 5 distinct pictures none."""
    captions: Literal["auto", "files", "names", "metadata", "none"] = "auto"
    """Where the captions are: `.txt` files of the same name, names of the pictures, `metadata.jsonl` (file_name, text),
    or nowhere. auto: the objective's prompt where it has one, else what is found."""
    size: int | None = None
    """The edge of the square whose area each picture gets, in pixels. None: the base's own."""
    buckets: bool = True
    """Cut each picture to the nearest of several shapes of one area; otherwise all to a square."""
    crop: Literal["center", "random"] = "center"
    """Which part of a picture is kept when its shape is not the bucket's."""
    flip: bool = False
    """Also show pictures mirrored. Not for writing, faces of one person, or captions that say left and right."""
    repeats: int | dict[str, int] = 1
    """How often a picture counts in an epoch: one number, or one for each sub-folder named (others: 1)."""
    caption_dropout: float = 0.05
    """The share of examples that are learned without their caption, which guidance needs."""
    shuffle_captions: bool = False
    """Show the parts of a caption, which commas separate, in other orders too."""
    keep_tags: int = 0
    """So many parts at the beginning of a caption stay in place when it is shuffled."""
    masks: str | None = None
    """A folder of masks with the names of the pictures: what is white is learned, what is black is not."""
    background: str = "white"
    """What is put behind transparent pictures: a colour by name or `#rrggbb`, or `random`, new in each variant."""
    variants: int = 4
    """How many crops, mirrorings, backgrounds and orders of its caption are kept of each picture."""
    limit: int | None = None
    """Use at most so many pictures of `train`, chosen by their content."""

    @model_validator(mode="after")
    def _possible(self) -> "Pictures":
        _check_sources(self)
        _check_numbers(self)
        _check_background(self.background)
        if self.keep_tags and not self.shuffle_captions:
            raise UserError(
                "data.keep_tags: only for data.shuffle_captions=true, without which all parts stay in place"
            )
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.train,) if isinstance(self.train, str) else self.train

    @property
    def varied(self) -> bool:
        """Whether variants of a picture can differ."""
        return self.crop == "random" or self.flip or self.shuffle_captions or self.background == "random"

    @property
    def kept(self) -> int:
        """How many variants of a picture are worth keeping."""
        return self.variants if self.varied else 1


def _check_sources(data: Pictures) -> None:
    names = [*data.sources, *(name for name in (data.validation, data.masks) if name is not None)]
    if not data.sources or not all(name.strip() for name in names):
        raise UserError("data.train: name at least one folder of pictures, and no empty name")
    if len(set(data.sources)) < len(data.sources):
        raise UserError("data.train: a folder is named twice; to see pictures more often use data.repeats")


def _check_numbers(data: Pictures) -> None:
    if not 0 <= data.split < 1:
        raise UserError(f"data.split: {data.split} must be a share from 0 up to, but not, 1")
    if not 0 <= data.caption_dropout <= 1:
        raise UserError(f"data.caption_dropout: {data.caption_dropout} must be a share from 0 to 1")
    if data.size is not None and data.size < SMALLEST:
        raise UserError(f"data.size: {data.size} must be at least {SMALLEST} pixels")
    repeats = data.repeats if isinstance(data.repeats, dict) else {"": data.repeats}
    for name, least, value in (
        ("variants", 1, data.variants),
        ("limit", 1, data.limit),
        ("keep_tags", 0, data.keep_tags),
        *((f"repeats.{key}".rstrip("."), 1, count) for key, count in repeats.items()),
    ):
        if value is not None and value < least:
            raise UserError(f"data.{name}: {value} must be at least {least}")


def _check_background(name: str) -> None:
    from PIL import ImageColor

    if name == "random":
        return
    try:
        ImageColor.getrgb(name)
    except ValueError:
        raise UserError(
            f"data.background: `{name}` is not a colour; write a name (white), #rrggbb, or `random`"
        ) from None
