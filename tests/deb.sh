#!/bin/sh
# Makes the package for Debian from the program that the tests have built, and checks it: nothing is built a second time,
# files have their places and modes, settings are conffiles, the unit restricts the server as the one in
# docs/operations.md does, manual pages have no faults. As root on Debian, the package is installed, tried as its user and
# purged again; elsewhere it is unpacked.
set -eu
cd "$(dirname "$0")/.."
fail() {
    echo "tests/deb.sh: $*" >&2
    exit 1
}
if ! command -v dpkg-deb >/dev/null 2>&1; then
    echo "snapback: dpkg-deb is missing, so the package is not checked" >&2
    exit 0
fi
work=$(mktemp -d)
# What is undone at the end, whatever happened.
undo=:
trap 'eval "$undo"; rm -rf "$work"' EXIT

before=$(stat -c %Y target/release/snapback)
package=$(sh host/packaging/build.sh)
[ -n "$package" ] || exit 0
[ "$(stat -c %Y target/release/snapback)" = "$before" ] || fail "the program was built a second time"

root=$work/root
dpkg-deb -x "$package" "$root"
dpkg-deb -e "$package" "$work/control"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
case $(dpkg-deb -f "$package" Version) in
"$version"*) ;;
*) fail "the package has version $(dpkg-deb -f "$package" Version), the program $version" ;;
esac
for path in usr/lib/sysusers.d/snapback.conf usr/lib/tmpfiles.d/snapback.conf usr/lib/systemd/system/snapback.service \
    usr/share/bash-completion/completions/snapback usr/share/zsh/vendor-completions/_snapback \
    usr/share/fish/vendor_completions.d/snapback.fish usr/share/doc/snapback/copyright \
    usr/share/doc/snapback/docs/operations.md; do
    [ "$(stat -c %a "$root/$path")" = 644 ] || fail "$path is missing, or has another mode than 644"
done
[ "$(stat -c %a "$root/usr/bin/snapback")" = 755 ] || fail "the program cannot be run"
for path in /etc/snapback/snapback.toml /etc/default/snapback; do
    grep -qxF "$path" "$work/control/conffiles" || fail "$path is no conffile"
done

# Every command that --help lists has a page, and roff has no complaint about any.
pages=$root/usr/share/man/man1
for command in $(target/release/snapback --help | sed -n '/^Commands:$/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    [ "$command" = help ] || [ -f "$pages/snapback-$command.1.gz" ] || fail "$command has no manual page"
done
[ -f "$pages/snapback-circuits-add.1.gz" ] || fail "nested commands have no manual pages"
for page in "$pages"/*; do
    zcat "$page" >"$work/page.1"
    if command -v mandoc >/dev/null 2>&1; then
        mandoc -T lint -W error "$work/page.1" >"$work/faults" || true
    elif command -v man >/dev/null 2>&1 && command -v groff >/dev/null 2>&1; then
        MANWIDTH=100 man --warnings -E UTF-8 -l "$work/page.1" 2>"$work/faults" >/dev/null || true
    else
        echo "snapback: neither mandoc nor man is there, so manual pages are not checked" >&2
        break
    fi
    [ ! -s "$work/faults" ] || fail "$page: $(head -n 3 "$work/faults")"
done

# The unit is the documented one but for its user and where its settings are.
unit=$root/usr/lib/systemd/system/snapback.service
sed -n '/^```ini$/,/^```$/{/^```/!p}' docs/operations.md | sed '/^\[Install\]/,$d' |
    grep -vE '^(#|$|ExecStart=|Environment=|DynamicUser=)' >"$work/documented"
if grep -vxFf "$unit" "$work/documented" >"$work/missing"; then
    fail "the unit of the package lacks: $(cat "$work/missing")"
fi
port=$(sed -n 's/^SocketBindAllow=tcp:\([0-9]*\)$/\1/p' "$unit")
grep -qx "listen = \"127.0.0.1:$port\"" host/packaging/snapback.toml || fail "the unit allows another port than the settings"
if command -v systemd-analyze >/dev/null 2>&1; then
    # The exposure in tenths, as for the documented unit.
    systemd-analyze security --offline=true --threshold=11 --no-pager "$unit" >"$work/report" 2>&1 ||
        fail "$(tail -n 3 "$work/report")"
    # Neither the program nor the user needs to be installed.
    mkdir "$work/unit"
    sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$unit" >"$work/unit/snapback.service"
    systemd-analyze verify --man=no "$work/unit/snapback.service" 2>"$work/faults" || fail "$(cat "$work/faults")"
    if grep -F "$work/unit/snapback.service" "$work/faults"; then fail "systemd does not accept the unit"; fi
else
    echo "snapback: systemd-analyze is missing, so the unit of the package is not checked" >&2
fi

if [ "$(id -u)" != 0 ] || ! command -v dpkg >/dev/null 2>&1; then
    "$root/usr/bin/snapback" --version | grep -qxF "snapback $version" || fail "the program does not run"
    "$root/usr/bin/snapback" settings --config "$root/etc/snapback/snapback.toml" >/dev/null
    echo "snapback: package checked; it is installed only as root"
    exit 0
fi
# An installed package, and state that is not of this test, are left alone.
if dpkg-query -W snapback >/dev/null 2>&1 || [ -e /var/lib/snapback ] || [ -e /var/lib/snapback-key ]; then
    echo "snapback: package checked; it is not installed, because one is installed already" >&2
    exit 0
fi
undo='dpkg --purge snapback >/dev/null 2>&1 || true'
getent passwd snapback >/dev/null || undo="$undo; userdel snapback >/dev/null 2>&1 || true"
dpkg -i "$package" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
/usr/bin/snapback --version | grep -qxF "snapback $version" || fail "the program does not run"
for dir in /var/lib/snapback /var/lib/snapback-key; do
    [ "$(stat -c '%U:%G %a' "$dir")" = "snapback:snapback 700" ] || fail "$dir: $(stat -c '%U:%G %a' "$dir")"
done
# The port may be in use on this machine.
setpriv --reuid snapback --regid snapback --init-groups \
    /usr/bin/snapback doctor --config /etc/snapback/snapback.toml --listen 127.0.0.1:0 --json >"$work/doctor" ||
    fail "the installed program cannot serve: $(cat "$work/doctor")"
# An upgrade keeps what an administrator has changed, and a removal keeps settings and state.
echo '# changed' >>/etc/snapback/snapback.toml
dpkg -i "$package" >"$work/log" 2>&1 || fail "$(cat "$work/log")"
grep -qxF '# changed' /etc/snapback/snapback.toml || fail "an upgrade replaced the settings"
dpkg --remove snapback >"$work/log" 2>&1 || fail "$(cat "$work/log")"
[ -f /etc/snapback/snapback.toml ] && [ -d /var/lib/snapback ] || fail "a removal took settings or state"
dpkg --purge snapback >"$work/log" 2>&1 || fail "$(cat "$work/log")"
for path in /etc/snapback /etc/default/snapback /var/lib/snapback /var/lib/snapback-key /usr/bin/snapback; do
    [ ! -e "$path" ] || fail "a purge left $path"
done
echo "snapback: package checked: built, installed, tried, upgraded, removed and purged"
