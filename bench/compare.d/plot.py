"""Grouped horizontal bars as SVG, written by hand: no library is needed."""
from xml.sax.saxutils import escape

COLOURS = {"relay": "#9e9e9e", "weir": "#1565c0", "nginx": "#2e7d32", "haproxy": "#ef6c00", "portkey": "#6a1b9a"}
BAR, GAP, GROUP_GAP, LEFT, WIDTH = 14, 2, 26, 200, 900
LINES_HEIGHT = 420


def bars(title, unit, groups):
    """`groups`: (name, {series: value}); each group is drawn to its own scale, the values stand at the bars."""
    out, y = [], 46
    for name, values in groups:
        values = {series: value for series, value in values.items() if value}
        if not values:
            continue
        out.append(f'<text x="{LEFT - 10}" y="{y + BAR - 3}" text-anchor="end" font-weight="bold">{escape(name)}</text>')
        # One rival far away must not flatten the others.
        ordered = sorted(values.values())
        most = ordered[-1] if len(ordered) < 2 or ordered[-1] < 4 * ordered[-2] else ordered[-2] * 1.5
        for series, value in values.items():
            length = min(value / most, 1) * (WIDTH - LEFT - 190)
            cut = " →" if value > most else ""
            out.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{COLOURS.get(series, "#555")}"/>'
                       f'<text x="{LEFT + length + 6:.1f}" y="{y + BAR - 3}">{escape(series)} {value:.2f}{cut}</text>')
            y += BAR + GAP
        y += GROUP_GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/><text x="10" y="24" font-size="16">{escape(title)} ({escape(unit)})'
            f'</text>{"".join(out)}</svg>\n')


def lines(title, x_label, y_label, series):
    """`series`: {name: [(x, y), ...]}; x logarithmic, y from zero."""
    import math
    height, top, bottom, right = LINES_HEIGHT, 50, 60, 180
    points = [point for values in series.values() for point in values]
    if not points:
        return ""
    low, high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    most = max(y for _, y in points) * 1.1 or 1
    at_x = lambda x: 70 + (math.log10(x) - low) / ((high - low) or 1) * (WIDTH - 70 - right)
    at_y = lambda y: height - bottom - y / most * (height - bottom - top)
    colours = ["#1565c0", "#2e7d32", "#ef6c00", "#6a1b9a", "#9e9e9e"]
    out = []
    for mark in range(5):
        value = most * mark / 4
        out.append(f'<line x1="70" x2="{WIDTH - right}" y1="{at_y(value):.1f}" y2="{at_y(value):.1f}" stroke="#ddd"/>'
                   f'<text x="64" y="{at_y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for x in sorted({x for x, _ in points}):
        out.append(f'<text x="{at_x(x):.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:g}</text>')
    for number, (name, values) in enumerate(series.items()):
        colour = colours[number % len(colours)]
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in values)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in values]
        out.append(f'<text x="{WIDTH - right + 10}" y="{top + 18 * number}" fill="{colour}">{escape(name)}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/><text x="10" y="24" font-size="16">{escape(title)}</text>'
            f'<text x="{(WIDTH - right) / 2:.0f}" y="{height - 14}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text x="10" y="{top - 8}">{escape(y_label)}</text>{"".join(out)}</svg>\n')


def stack(*plots):
    """Plots of lines() one below the other."""
    plots = [one for one in plots if one]
    moved = "".join(one.replace("<svg ", f'<svg y="{LINES_HEIGHT * number}" ', 1) for number, one in enumerate(plots))
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{LINES_HEIGHT * len(plots)}">{moved}</svg>\n'
