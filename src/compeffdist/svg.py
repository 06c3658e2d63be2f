"""Charts as inline SVG by matplotlib: the same bytes from the same figures, readable on light and on dark paper.

A drawing unit is a CSS pixel of a phone: charts are 360 wide and scale up. Text stays text, in the page's own font. The
neutral colours stand in the SVG as they are on white; the page's style sheet repaints them for whoever prefers dark
(`STYLE`), which is why matplotlib's inline styles become attributes, and a policy against inline styles would not hurt.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 360
FONT = 12
INK, QUIET, LINE, PAPER = "#1b1d21", "#5b616b", "#dcdfe4", "#ffffff"
"""Repainted in the dark."""
TEACHER, BASE, STUDENT = "#c8742a", "#8b919b", "#2f7fd6"
COLOURS: Mapping[str, str] = {"teacher": TEACHER, "base": BASE, "student": STUDENT}
MARKERS: Mapping[str, str] = {"teacher": "s", "base": "D", "student": "o"}
GOOD, BAD, WARM = "#2f9e58", "#d9534a", "#d9a13b"
STYLE = """
figure{margin:.75rem 0;min-width:0}figure svg{display:block;width:100%;height:auto;max-width:31rem}
figcaption{color:var(--quiet);font-size:.9rem;max-width:31rem}figure h3{margin:0 0 .2rem}
svg *{stroke-linejoin:round}svg text{font-family:system-ui,sans-serif}
[fill="#1b1d21"]{fill:var(--ink)}[stroke="#1b1d21"]{stroke:var(--ink)}
[fill="#5b616b"]{fill:var(--quiet)}[stroke="#5b616b"]{stroke:var(--quiet)}
[fill="#dcdfe4"]{fill:var(--line)}[stroke="#dcdfe4"]{stroke:var(--line)}
[fill="#ffffff"]{fill:var(--paper)}[stroke="#ffffff"]{stroke:var(--paper)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.5rem 2rem;
align-items:start}
"""
SETTINGS = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.unicode_minus": False,
    "path.simplify": False,
    "font.size": FONT,
    "font.family": "DejaVu Sans",
    **dict.fromkeys(("text.color", "axes.labelcolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "axes.edgecolor"), LINE),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size", "xtick.minor.size", "ytick.minor.size"), 0),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "axes.spines.left", "legend.frameon"), False),
}
LONGEST = 24
"""Characters of a name in a chart."""


class Chart:
    """A chart being drawn: `with Chart(200) as chart:`, draw on `chart.axes(left=90)`; `chart.figure(...)` is HTML."""

    def __init__(self, height: float, width: float = WIDTH) -> None:
        self.width, self.height = width, height

    def __enter__(self) -> "Chart":
        import matplotlib
        from matplotlib.figure import Figure

        self._settings = matplotlib.rc_context(SETTINGS)  # type: ignore[arg-type]  # its keys are a Literal of all
        self._settings.__enter__()
        self.drawn = Figure(figsize=(self.width / 72, self.height / 72), dpi=72)
        self.drawn.patch.set_visible(False)
        return self

    def __exit__(self, *error: Any) -> None:
        self._settings.__exit__(*error)

    def axes(self, left: float = 8, top: float = 8, right: float = 8, bottom: float = 24) -> "Axes":
        """Axes that leave margins, in units."""
        width, height = self.width - left - right, self.height - top - bottom
        box = left / self.width, bottom / self.height, width / self.width, height / self.height
        made = self.drawn.add_axes(box)
        made.patch.set_visible(False)
        made.set_axisbelow(True)
        return made

    def figure(self, name: str, title: str, caption: str, titles: Mapping[str, Sequence[str]] | None = None) -> str:
        """The chart as an HTML figure with a heading.

        Args:
            name: salts its ids, which must differ from those of the page's other charts.
            title, caption: text; both are also what a screen reader says.
            titles: group id of a collection -> what hovering over each of its marks says.
        """
        svg = inline(self._svg(name), f"{title}. {caption}", titles or {})
        return f"<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(caption)}</figcaption></figure>"

    def _svg(self, name: str) -> str:
        import matplotlib

        stream = StringIO()
        with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the page's font will have it
            self.drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return stream.getvalue()


def inline(svg: str, said: str, titles: Mapping[str, Sequence[str]]) -> str:
    """matplotlib's SVG for use inside a page: no prolog, style sheet, inline styles or ids that nothing refers to."""
    body = svg[svg.index("<g id=") : svg.rindex("</svg>")]
    for group, texts in titles.items():
        body = _titled(body, group, texts)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', body))
    # inside tags alone: a name that reads like an attribute stays the text it is
    body = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], used), re.sub(r"\n\s*", "\n", body))
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(said)}">{body}</svg>'


def alone(figure: str) -> str:
    """The drawing of an HTML figure (`Chart.figure`) as a file of its own, on white."""
    drawing = figure[figure.index("<svg ") : figure.rindex("</svg>") + len("</svg>")]
    opening, _, inside = drawing.partition(">")
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', opening)
    assert box is not None
    size = f'xmlns="http://www.w3.org/2000/svg" width="{box[1]}" height="{box[2]}" font-family="sans-serif"'
    return f'{opening.replace("<svg", f"<svg {size}", 1)}><rect width="100%" height="100%" fill="{PAPER}"/>{inside}\n'


def _tag(tag: str, used: Collection[str]) -> str:
    tag = re.sub(
        r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", tag.replace("xlink:href", "href")
    )
    tag = re.sub(r' style="([^"]*)"', lambda found: _attributes(found[1]), tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"(\.\d{2})\d+", r"\1", tag)


def _attributes(style: str) -> str:
    """Declarations as presentation attributes; of a font its size and weight alone."""
    found: dict[str, str] = {}
    for declaration in style.split(";"):
        key, _, value = declaration.partition(":")
        key, value = key.strip(), value.strip()
        if key == "font":
            size = re.search(r"([\d.]+)px", value)
            found |= {"font-size": size[1]} if size else {}
            found |= {"font-weight": "600"} if re.search(r"bold|[67]00", value) else {}
        elif key and key not in ("font-family", "stroke-linejoin"):
            found[key] = value
    return "".join(f' {key}="{escape(value)}"' for key, value in found.items())


def _titled(body: str, group: str, texts: Sequence[str]) -> str:
    """Give each mark of a collection a title, which browsers show on hovering, and its number."""
    start = body.index(f'<g id="{group}"')
    end = body.find('<g id="', start + 1)
    end = len(body) if end < 0 else end
    number = iter(range(len(texts)))

    def titled(found: re.Match[str]) -> str:
        if found[0].startswith("<defs>"):
            return found[0]
        place = next(number)
        return f'<g data-mark="{place}"><title>{escape(texts[place])}</title>{found[0]}</g>'

    # many marks of one shape are uses of it, few are paths of their own
    marks = r"<defs>.*?</defs>|<(?:use|path) [^>]*/>"
    return body[:start] + re.sub(marks, titled, body[start:end], flags=re.DOTALL) + body[end:]


def short(name: str, longest: int = LONGEST) -> str:
    """A name in one line of a chart; what cannot be printed is left out."""
    folded = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return folded if len(folded) <= longest else folded[: longest - 1].rstrip() + "…"


def type_name(kind: str) -> str:
    """A type of task in a word or two."""
    return kind.removesuffix("_classification").replace("_", " ")


def left_out(count: int, what: str) -> str:
    """A line that says how many are not shown; empty if none."""
    return f'<p class="quiet">{count:,} more {what} are not shown.</p>' if count > 0 else ""


def plain_axis(axes: "Axes", horizontal: bool = True) -> None:
    """A light grid along the values, quiet ticks."""
    axes.grid(axis="x" if horizontal else "y", color=LINE, linewidth=0.7)
    axes.tick_params(axis="both", labelsize=11, pad=3)
    axes.tick_params(axis="x" if horizontal else "y", labelcolor=QUIET)
