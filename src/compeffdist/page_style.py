"""Styles that keep a page as wide as its window, whatever stands in it: long words break, wide tables scroll.

Apart from `pages`, which every stage reaches by its artefacts: how a page looks re-runs those that write one.
"""

WITHIN_WINDOW = """
body{overflow-wrap:anywhere}
svg{max-width:100%;height:auto}
@media(max-width:70rem){table{display:block;overflow-x:auto}}
"""
