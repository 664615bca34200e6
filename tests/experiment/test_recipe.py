"""The recipe on real images: a thousandth of its work, on the JPEG copy of CIFAR-10."""

import tarfile
from pathlib import Path

import pytest

from running import read

JPEG = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10-jpeg.tar.xz"
LARGEST = 160


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Unpack the first images of each class."""
    if not JPEG.exists():
        pytest.skip(f"needs {JPEG.name}, which losslab's developers have beside the checkout")
    root = tmp_path_factory.mktemp("jpeg")
    with tarfile.open(JPEG) as archive:
        for member in archive:
            number = Path(member.name).stem
            if member.isfile() and number.isdigit() and int(number) < LARGEST:
                archive.extract(member, root, filter="data")
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "rate"), [("cross_entropy", 0.15), ("mse", 0.5)])
def test_the_recipe_learns_photographs(losslab, images, loss, rate):
    words = ["train", "+recipe=cifar10_fast", f"loss={loss}", f"optimizer.lr={rate}"]
    words += ["data=image_folder", f"data.root='{images}'", "trainer.precision=float32"]
    words += ["model.width=8", "trainer.batch_size=50", "trainer.epochs=6"]
    result = losslab.call(*words)
    assert result.code == 0, result.err
    (run,) = losslab.runs()
    assert read(run / "summary.json")["test/accuracy"] > 0.25  # chance is 0.1
