"""Where panels, names and tokens of a grid of layers and heads stand."""

from typing import Any

from keras_align.visualization.panels import text_size

WIDTH = 8.0  # inches of the figure, or more where panels would be too small
SMALLEST, LARGEST = 0.3, 3.2  # inches of a panel
GAP, BAR, EDGE, TOP = 0.06, 0.85, 0.1, 0.32  # inches
NAME_SIZE, TOKEN_SIZE = 9.0, 8.0  # points
LINE, CELL = 0.16, 0.125  # inches of a line of text, and of a row with its token
MOST_LINES = 6

Tokens = tuple[list[str], list[str]]  # of queries and keys


class GridLayout:
    """Sizes and places in a figure, of which it sets the size.

    Args:
        figure: the `matplotlib.figure.Figure`.
        names: list of strings, of the rows.
        columns: int, the number of columns.
        texts: the tokens of queries and of keys, or `None`.
        colours: string, what the colours mean.
    """

    def __init__(
        self,
        figure: Any,
        names: list[str],
        columns: int,
        texts: Tokens | None,
        colours: str,
    ):
        self.rows = len(names)
        self.left = EDGE + max(text_size(figure, x, NAME_SIZE)[0] for x in names) + 0.1
        self.below = 0.1
        self.side = self._side_of(columns, self.left)
        self.has_tokens, self.tokens_left = False, 0.0
        if texts:
            widths = [
                max(text_size(figure, x, TOKEN_SIZE)[0] for x in t) for t in texts
            ]
            left = self.left + widths[0] + 0.05
            side = self._side_of(columns, left)
            self.has_tokens = side >= CELL * max(map(len, texts))
            if self.has_tokens:
                self.side, self.tokens_left = side, widths[0] + 0.05
                self.left, self.below = left, widths[1] + 0.15
        step = self.side + GAP
        self.right = self.left + columns * step
        self.width = max(self.right + BAR, 3.0)
        colours = self._wrap(figure, f"colours: {colours}".split())
        self.lines = f"{colours}\n{self._caption(figure, texts)}"
        self.below += LINE * (self.lines.count("\n") + 1) + EDGE
        self.height = TOP + self.rows * step + self.below
        figure.set_size_inches(self.width, self.height)

    def _side_of(self, columns, left):
        """Width and height of a panel beside which `left` inches are taken."""
        free = WIDTH - left - BAR
        return min(max(free / columns - GAP, SMALLEST), LARGEST)

    def _caption(self, figure, texts):
        """What stands below the grid, broken into lines."""
        caption = "rows: queries, columns: keys"
        if self.has_tokens or not texts:
            return caption
        queries, keys = texts
        if queries == keys:
            return self._wrap(figure, [f"{caption}, in this order:", *queries])
        lines = [
            self._wrap(figure, ["rows: queries, in this order:", *queries]),
            self._wrap(figure, ["columns: keys, in this order:", *keys]),
        ]
        return "\n".join(lines)

    def _wrap(self, figure, words):
        """Words as lines as wide as the figure; of too many lines the first ones."""
        free = self.width - 2 * EDGE
        space = text_size(figure, "a b", TOKEN_SIZE)[0]
        space -= text_size(figure, "ab", TOKEN_SIZE)[0]
        lines, end = [[]], 0.0
        for word in words:
            size = text_size(figure, word, TOKEN_SIZE)[0]
            if lines[-1] and end + space + size > free:
                lines.append([])
                end = 0.0
            lines[-1].append(word)
            end += size + space
        if len(lines) > MOST_LINES:
            lines = [*lines[: MOST_LINES - 1], [*lines[MOST_LINES - 1][:-1], "..."]]
        return "\n".join(" ".join(line) for line in lines)

    def _place(self, x, y):
        """A place in the figure, from inches right of the left and below the top."""
        return x / self.width, 1.0 - y / self.height

    def panel(self, row: int, column: int) -> tuple[float, ...]:
        """Left, bottom, width and height of a panel, as shares of the figure."""
        step = self.side + GAP
        bottom = TOP + row * step + self.side
        place = self._place(self.left + column * step, bottom)
        return (*place, self.side / self.width, self.side / self.height)

    def name(self, row: int) -> tuple[float, float]:
        """Where the name of a row ends."""
        left, bottom, _, height = self.panel(row, 0)
        taken = self.tokens_left + 0.07
        return left - taken / self.width, bottom + height / 2

    def head(self, column: int) -> tuple[float, float]:
        """Where the number of a column stands."""
        left, bottom, width, height = self.panel(0, column)
        return left + width / 2, bottom + height + 0.05 / self.height

    @property
    def corner(self) -> tuple[float, float]:
        """Where it says what the numbers of the columns are."""
        return self.name(0)[0], self.head(0)[1]

    @property
    def caption(self) -> tuple[float, float]:
        """Where the lines below the grid begin."""
        return EDGE / self.width, 0.6 * EDGE / self.height

    @property
    def bar(self) -> tuple[float, ...]:
        """Left, bottom, width and height of the colour bar."""
        step = self.side + GAP
        size = min(self.rows * step - GAP, 3.2)
        place = self._place(self.right + 0.05, TOP + size)
        return (*place, 0.12 / self.width, size / self.height)
