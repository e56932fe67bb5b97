"""The one base class of all widgets: a Python file with traits beside a JavaScript file with the logic.

`receptive_field.py` holds the traits, `receptive_field.js` the maths and the drawing. The browser can
import neither `./kit.js` nor anything else from a static page, so the class joins both files into one
module when it is defined.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import anywidget

HERE = Path(__file__).parent
_EXPORT = re.compile(r"^export (?:async )?(?:function|const|class) (\w+)", re.MULTILINE)
_IMPORT_KIT = re.compile(r"""^import \* as kit from ["']\./kit\.js["'];?\s*$""", re.MULTILINE)


def kit_source() -> str:
    """`kit.js` as one constant named `kit`, to stand in front of a widget's own script."""
    kit = (HERE / "kit.js").read_text(encoding="utf-8")
    names = ", ".join(_EXPORT.findall(kit))
    body = re.sub(r"^export ", "", kit, flags=re.MULTILINE)
    return f"const kit = (() => {{\n{body}\nreturn {{ {names} }};\n}})();\n"


def kit_style() -> str:
    """The style sheet that all widgets share."""
    return (HERE / "kit.css").read_text(encoding="utf-8")


def bundle(script: Path) -> str:
    """One ES module from `script`, with `import * as kit from "./kit.js"` replaced by the kit itself."""
    source = script.read_text(encoding="utf-8")
    return kit_source() + _IMPORT_KIT.sub("", source) if _IMPORT_KIT.search(source) else source


class Widget(anywidget.AnyWidget):
    """A widget whose whole logic runs in the browser: alive in JupyterLab, in Colab and in the static book."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        # anywidget derives a class per instance that already holds `_esm` as a trait: leave that one alone.
        if "_esm" not in cls.__dict__:
            script = Path(inspect.getfile(cls)).with_suffix(".js")
            style = script.with_suffix(".css")
            own = style.read_text(encoding="utf-8") if style.exists() else ""
            cls._esm = bundle(script)
            cls._css = kit_style() + own
        super().__init_subclass__(**kwargs)
