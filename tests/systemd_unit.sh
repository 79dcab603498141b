#!/bin/sh
# Checks the unit for systemd in docs/operations.md, together with its drop-in: that systemd accepts it, that it
# restricts the server as far as the page says, and that it leaves the server the time to drain. Where systemd-analyze
# is missing, only the last is checked.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unit=$work/snapback.service
sed -n '/^```ini$/,/^```$/{/^```/!p}' docs/operations.md >"$unit"

stop=$(sed -n 's/^TimeoutStopSec=\([0-9]*\)s$/\1/p' "$unit")
drain=$(sed -n 's/^| `drain.deadline` | \([0-9]*\)s |.*/\1/p' docs/settings.md)
if [ "$stop" -le "$drain" ]; then
    echo "docs/operations.md: TimeoutStopSec=${stop}s is not above drain.deadline = ${drain}s" >&2
    exit 1
fi
if ! command -v systemd-analyze >/dev/null 2>&1; then
    echo "snapback: systemd-analyze is missing, so the unit in docs/operations.md is not checked (Debian's package systemd has it)" >&2
    exit 0
fi
# The exposure in tenths: version 252 of systemd measures 10, and other versions may weigh settings a bit differently.
if ! systemd-analyze security --offline=true --threshold=11 --no-pager "$unit" >"$work/report" 2>&1; then
    cat "$work/report" >&2
    exit 1
fi
# The program need not be installed.
sed -i 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$unit"
systemd-analyze verify --man=no "$unit" 2>"$work/verify" || { cat "$work/verify" >&2; exit 1; }
# Unknown settings are warnings.
if grep -F "$unit" "$work/verify" >&2; then exit 1; fi
