"""Line plots as small SVG files, by hand: panels side by side, one axis each way, a legend below. Readable on light and on dark
ground, as those who show them do not say which it is."""

import math
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 48
LEGEND_LINE = 20
COLOURS = ["#2f7ed8", "#e0791b", "#2a9d5c", "#b0479e", "#c8423f"]
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600 }
.grid { stroke: #8b949e; stroke-opacity: .25 }
.axis { stroke: #8b949e }
@media (prefers-color-scheme: dark) { text { fill: #9aa4af } }
"""


class Panel:
    """One plot: what is on the axes, and series of (x, y) by their names."""

    def __init__(self, title, x_label, y_label, series):
        self.title, self.x_label, self.y_label, self.series = title, x_label, y_label, series

    def draw(self, left, names):
        """Elements of a panel that begins at `left`; `names` gives each series its colour."""
        points = [point for line in self.series.values() for point in line]
        x_ticks, y_ticks = (ticks(max(point[axis] for point in points)) for axis in (0, 1))
        across = lambda x: left + LEFT + (WIDTH - LEFT - RIGHT) * x / x_ticks[-1]
        down = lambda y: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_ticks[-1]
        yield f'<text class="title" x="{left + LEFT}" y="20">{escape(self.title)}</text>'
        for tick in y_ticks:
            yield (f'<line class="grid" x1="{across(0):.1f}" x2="{across(x_ticks[-1]):.1f}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
                   f'<text x="{across(0) - 6:.1f}" y="{down(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>')
        for tick in x_ticks:
            yield (f'<line class="axis" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{down(0):.1f}" y2="{down(0) + 4:.1f}"/>'
                   f'<text x="{across(tick):.1f}" y="{down(0) + 18:.1f}" text-anchor="middle">{number(tick)}</text>')
        yield f'<path class="axis" fill="none" d="M{across(0):.1f} {TOP}V{down(0):.1f}H{across(x_ticks[-1]):.1f}"/>'
        middle = (across(0) + across(x_ticks[-1])) / 2
        yield f'<text x="{middle:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(self.x_label)}</text>'
        turned = f"{left + 14} {(TOP + HEIGHT - BOTTOM) / 2:.0f}"
        yield f'<text transform="translate({turned}) rotate(-90)" text-anchor="middle">{escape(self.y_label)}</text>'
        for name, line in self.series.items():
            colour = COLOURS[names.index(name) % len(COLOURS)]
            path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in line)
            dots = "".join(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in line)
            yield f'<path fill="none" stroke="{colour}" stroke-width="2" d="M{path}"/>{dots}'


def ticks(most):
    """From 0 in round steps past the most that is shown, four to eight of them."""
    if most <= 0:
        return [0, 1]
    power = 10 ** math.floor(math.log10(most / 4))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if most / (power * factor) <= 6)
    return [step * count for count in range(math.ceil(most / step - 1e-9) + 1)]


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def legend(names, width):
    """A swatch and a name each, in as many lines as it takes, and where the last line is."""
    elements, left, y = [], LEFT, HEIGHT + 12
    for index, name in enumerate(names):
        needed = 38 + 7 * len(name)
        if left > LEFT and left + needed > width:
            left, y = LEFT, y + LEGEND_LINE
        elements.append(f'<path stroke="{COLOURS[index % len(COLOURS)]}" stroke-width="3" d="M{left} {y - 4}h16"/>'
                        f'<text x="{left + 22}" y="{y}">{escape(name)}</text>')
        left += needed
    return elements, y


def plot(path, panels):
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    width = WIDTH * len(panels)
    parts = [element for index, panel in enumerate(panels) for element in panel.draw(index * WIDTH, names)]
    below, height = legend(names, width)
    height += 12
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
                    f"<style>{STYLE}</style>\n" + "\n".join(parts + below) + "\n</svg>\n")
