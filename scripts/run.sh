#!/bin/sh
# Open the viewer on the bundled sample, analysed; without a display, draw it into islet.png.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL="${LC_ALL:-C.UTF-8}"
sample=resources/sample/phantom.nii.gz

# Asking Qt is the only sure way: DISPLAY may name a display that is not there.
has_display() {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] &&
        .venv/bin/python -c 'from PySide6.QtGui import QGuiApplication; QGuiApplication([])' \
            >/dev/null 2>&1
}

if has_display; then
    exec .venv/bin/islet view "$sample" --analyse
fi
echo "There is no display here, so the same view is written as a picture, islet.png."
unset DISPLAY WAYLAND_DISPLAY
export QT_QPA_PLATFORM=offscreen
.venv/bin/islet view "$sample" --analyse --system starter --screenshot islet.png --size 1600x1000
echo "Wrote islet.png."
