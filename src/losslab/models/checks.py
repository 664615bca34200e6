"""What every model checks of its arguments."""


def check_width(width: int) -> None:
    """Raise a ``ValueError`` for a width below 1."""
    if width < 1:
        raise ValueError(f"width={width}; give a number of channels or units from 1 up")


def check_image_size(input_shape: tuple[int, int, int], *, smallest: int, model: str) -> None:
    """Raise a ``ValueError`` for pictures that are too small for ``model``."""
    _, height, width = input_shape
    if min(height, width) < smallest:
        raise ValueError(
            f"{model} needs pictures of at least {smallest}x{smallest}, these are "
            f"{height}x{width}; use model=mlp or model=linear, or larger pictures"
        )
