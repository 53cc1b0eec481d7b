"""`tunesmith merge`: base and adapter become one plain model."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from tunesmith.models.load import Base


class Stored(StrEnum):
    """The number format of the file."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def merge(
    adapter: Annotated[Path, typer.Argument(metavar="RUN|ADAPTER", help="A run, or a PEFT adapter's folder.")],
    output: Annotated[Path | None, typer.Argument(help="The new folder, or file.", show_default="RUN/merged")] = None,
    base: Annotated[str | None, typer.Option(help="The base, when it lies elsewhere now.")] = None,
    dtype: Annotated[Stored, typer.Option(help="Merged in float32 in any case, and then rounded.")] = Stored.float32,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Image models: one .safetensors file for A1111 and ComfyUI.")
    ] = False,
) -> None:
    """Merge an adapter into its base, and compare before saying that it is done."""
    import torch

    from tunesmith.cli.painting import is_picture_model
    from tunesmith.core.errors import UserError

    if is_picture_model(str(adapter)):
        _merge_pictures(adapter, output, base, getattr(torch, dtype.value), single_file)
        return
    if single_file:
        raise UserError("--single-file: image models alone are one file elsewhere; leave it out")

    from tunesmith.bases import load_base
    from tunesmith.cli.ending import to_stderr
    from tunesmith.export.adapter import adapter_head
    from tunesmith.merge import merge as merged
    from tunesmith.report.numbers import size

    name, allowed, folder = _parts(adapter)
    output = output or adapter / "merged"
    if folder is None:
        print(f"{adapter / 'model'}: a full fine-tune is a plain model already; there is nothing to merge")
        return

    head = adapter_head(folder)

    def opened(wanted: "torch.dtype") -> "Base":
        return load_base(base or name or "", dtype=wanted, allow_download=allowed, say=to_stderr, head=head)

    if base is None and name is None:
        from tunesmith.loaded import base_of

        name = base_of(folder)
    done = merged(opened, folder, output, dtype=getattr(torch, dtype.value))
    print(f"{done.folder}: a plain model, {size(done.bytes)} in {dtype.value}")
    print(f"read again in a fresh process and compared with base and adapter: {done.drift}")
    if done.packed is not None:
        print(
            f"the adapter was trained over the base in {done.packed} and is merged into its original weights: "
            f"the merged model differs from what was trained by the quantization error ({done.loss})"
        )


def _parts(place: Path) -> tuple[str | None, bool, Path | None]:
    """-> the base's name when a run knows it, whether it may be downloaded, and the adapter; None for a whole model."""
    from tunesmith.core.errors import UserError
    from tunesmith.export.peft_config import NAME
    from tunesmith.loaded import finished_run
    from tunesmith.opening import RECIPE

    if (place / RECIPE).is_file():
        recipe, artifact = finished_run(place)
        return recipe.base, recipe.allow_download, None if recipe.method.kind == "full" else artifact
    if not (place / NAME).is_file():
        raise UserError(f"{place}: neither a run nor an adapter ({RECIPE} and {NAME} are missing)")
    return None, False, place


def _merge_pictures(run: Path, output: Path | None, base: str | None, dtype: "torch.dtype", single: bool) -> None:
    from tunesmith.bases import resolve
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.export.embedding import WEIGHTS
    from tunesmith.opening import read_run_recipe
    from tunesmith.outcome import finished
    from tunesmith.report.numbers import size
    from tunesmith.studio.merging import merge_into_file, merge_pictures
    from tunesmith.studio.words import FOLDER

    if single and output is not None and output.suffix != ".safetensors":
        raise UserError(f"{output}: a single file ends in .safetensors; name it so")
    recipe, result = read_run_recipe(run), finished(run)
    if result is None:
        raise UserError(f"{run}: this run has not ended well yet; give its command again to go on")
    output = output or run / ("merged.safetensors" if single else "merged")
    if recipe.method.kind == "full":
        _pack_whole(run / "model", output, single)
        return
    place = resolve(base or recipe.base, allow_download=recipe.allow_download, say=to_stderr)
    adapter, word = (folder if folder.is_dir() else None for folder in (run / "adapter", run / FOLDER))
    if single and word is not None:
        rows = f"{word / WEIGHTS} goes into the folder of embeddings beside it"
        if adapter is None:
            raise UserError(f"{run}: one file has no place for a new word, and nothing else was learned; {rows}")
        print(f"note: one file has no place for the new word; {rows}")
    if single:
        assert adapter is not None, "else there is nothing to merge"
        done = merge_into_file(place, adapter, output, dtype)
    else:
        done = merge_pictures(place, adapter, output, dtype, word=word)
    kind = "one file for A1111, ComfyUI and diffusers" if single else "a plain model for diffusers"
    print(f"{done.path}: {kind}, {size(done.bytes)}")
    print(f"read again and compared with base and adapter: latents within {done.apart:.1e} of the largest")


def _pack_whole(model: Path, output: Path, single: bool) -> None:
    """The model of a full fine-tune is plain already; as one file it is written when asked for, for it is as large."""
    from tunesmith.report.numbers import size
    from tunesmith.studio.checkpoint import write_checkpoint

    if not single:
        print(f"{model}: a full fine-tune is a plain model already (one file: --single-file)")
        return
    write_checkpoint(model, output)
    print(f"{output}: one file for A1111, ComfyUI and diffusers, {size(output.stat().st_size)}")
    print("read again and compared with the folder: every number is the same")
