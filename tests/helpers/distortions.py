"""What the tests do to pictures: blur, noise and JPEG, each in one way; and how well a map finds it."""

import io

import numpy as np
from PIL import Image, ImageFilter
from scipy.stats import mannwhitneyu


def blurred(image, radius):
    """Gaussian blur of that many pixels."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def noisy(image, sigma):
    """White noise of that standard deviation, of 255; the same grain each time."""
    noise = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).round().astype(np.uint8))


def jpeg(image, quality):
    """Through a JPEG of that quality."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def area(low, high):
    """Under the ROC curve: how often a number of ``high`` exceeds one of ``low``."""
    return mannwhitneyu(high, low).statistic / (len(low) * len(high))
