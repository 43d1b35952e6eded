"""Parts of figures that tests look at."""

import numpy as np


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes}


def lines(axes):
    return [np.array(line.get_data()) for line in axes.lines]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]
