"""The page on which a sheet is labelled: empty places, which its script fills. Of a sheet its name alone is in it."""

from collections.abc import Iterator
from html import escape

from compeffdist.labelling.script import LABEL
from compeffdist.local_server import asking_document

STYLE = """
body{max-width:60rem;padding-bottom:0}html{scroll-padding-bottom:14rem}
h1{font-size:1.2rem;margin:0}#count{margin:.3rem 0}
progress{width:100%;height:.6rem;accent-color:var(--link);display:block}
#place{margin:1.2rem 0 .2rem;font-size:1.1rem}#place span{font-weight:400}
#parts h3{margin:1.1rem 0 .2rem;color:var(--quiet);font-size:.87rem;font-weight:600}
#parts p,#parts pre{font:inherit;margin:0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}
#parts .line{margin:.3rem 0}
#parts .answer{border-left:3px solid var(--link);padding-left:.7rem;font-weight:600}
summary{cursor:pointer;color:var(--quiet);font-size:.87rem;margin-top:1.1rem}details p{color:var(--quiet)}
.note{background:var(--badsoft);padding:.6rem 1rem;border-radius:8px;margin:.8rem 0}.note p{margin:.2rem 0}
.panel{position:sticky;bottom:0;background:var(--paper);border-top:1px solid var(--line);padding:.6rem 0 .8rem;
margin-top:1.5rem}
fieldset{border:0;margin:0;padding:0;min-width:0}legend{padding:0;font-weight:600;margin-bottom:.2rem}
#scale{margin:0 0 .4rem}#said{margin:.45rem 0 0;min-height:1.5em}
.keys{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,3rem),1fr));gap:.4rem}
.keys.worded{grid-template-columns:repeat(auto-fit,minmax(min(100%,8rem),1fr))}
.moves{display:flex;flex-wrap:wrap;gap:.4rem;margin-top:.5rem;align-items:center}
button{font:inherit;color:var(--ink);background:var(--soft);border:1px solid var(--line);border-radius:8px;
min-height:2.75rem;padding:.3rem .8rem;cursor:pointer;overflow-wrap:anywhere;touch-action:manipulation}
.keys button{font-weight:600;font-size:1.1rem}button:hover{border-color:var(--link)}
button[aria-pressed=true]{background:var(--link);border-color:var(--link);color:var(--paper)}
kbd{font:.8em ui-monospace,monospace;border:1px solid var(--line);border-radius:4px;padding:0 .3em;color:var(--quiet);
background:var(--paper)}
.switch{display:inline-flex;align-items:center;gap:.4rem;min-height:2.75rem;font-size:.87rem;color:var(--quiet)}
@media (max-height:30rem){.panel{position:static}}
@media (pointer:coarse){.moves kbd,.switch{display:none}}
@media (max-width:30rem){.moves button{flex:1 1 auto;padding:.3rem .5rem}#scale{font-size:.87rem}}
[hidden]{display:none!important}
"""


def render(sheet: str) -> str:
    """The page as HTML, for a sheet of that name; its policy lets it ask this server alone, and run its own script."""
    return asking_document(f"Labelling {sheet}", _body(sheet), STYLE, [LABEL])


def _body(sheet: str) -> Iterator[str]:
    yield (
        f'<header><h1>Labelling {escape(sheet)}</h1><p id="count">Looking…</p>'
        '<progress id="bar" max="1" value="0" aria-labelledby="count"></progress>'
        "<noscript><p>This page needs its script; without one, label the sheet in a spreadsheet.</p></noscript>"
        "</header>\n<main>"
    )
    yield (
        '<div id="refused" class="note" role="alert" hidden><p id="why"></p>'
        "<p>Nothing was written. Read the sheet anew to go on with it as it is now.</p>"
        '<p><button type="button" id="anew">Read the sheet anew</button></p></div>'
        '<div id="lost" class="note" role="alert" hidden><p id="which"></p><p class="moves">'
        '<button type="button" id="again">Write them again</button>'
        '<button type="button" id="leave">Leave them out</button></p></div>'
        '<div id="gone" class="note" role="alert" hidden><p>This page is not answered any more; the last '
        "label may not be in the sheet. Start <code>compeffdist study label</code> again, and open the address that "
        "it prints.</p></div>"
    )
    yield (
        '<section aria-labelledby="place"><h2 id="place"></h2><div id="parts"></div></section>'
        '<div class="panel"><fieldset><legend id="question"></legend><p id="scale" class="quiet"></p>'
        '<div id="choices" class="keys"></div></fieldset><div class="moves">'
    )
    yield _button("back", "Back", "k", "k ArrowLeft")
    yield _button("on", "Next", "j", "j ArrowRight")
    yield _button("open", "Next unlabelled", "n", "n")
    yield _button("clear", "Clear", "u", "u")
    yield (
        '<label class="switch"><input type="checkbox" id="keys" checked> keys</label></div>'
        '<p id="said" role="status" aria-live="polite" class="quiet"></p></div></main>'
    )


def _button(name: str, title: str, key: str, keys: str) -> str:
    shown = f'{title} <kbd aria-hidden="true">{key}</kbd>'
    return f'<button type="button" id="{name}" aria-keyshortcuts="{keys}">{shown}</button>'
