"""Unpacks packages of Debian into a directory, and installs nothing.

    python3 tests/deploy/debian.py target/arm64/debian amd64:rustc arm64:libstd-rust-dev= …

A package comes with everything that it depends on, unless its name ends with `=`. Nothing is downloaded if the directory holds
the packages already. Wants gpgv, dpkg-deb and Debian's keyring.

The keys of Debian's archive on this machine are trusted. One of them must have signed the suite's release file, which holds the
SHA256 of each index, and an index holds the SHA256 of each package. So the mirror need not be trusted. It can only offer an old
release of the suite, because the date until which a release file is valid is not checked.
"""

import hashlib
import lzma
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

MIRROR = "http://deb.debian.org/debian"
# The versions of one source package move into this suite together for all architectures. In sid they may differ for days.
SUITE = "forky"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The compiler uses the machine's own.
NEVER = {"gcc", "libc-dev", "binutils"}

downloaded = 0


def download(path, sha256=None):
    global downloaded
    with urllib.request.urlopen(f"{MIRROR}/{path}", timeout=120) as answer:
        content = answer.read()
    downloaded += len(content)
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        sys.exit(f"{path}: the SHA256 is {found}, not {sha256}")
    return content


def signed_release():
    """The text of the suite's release file, without its signature."""
    verify = ["gpgv", "--quiet", "--keyring", KEYRING, "--output", "-", "-"]
    done = subprocess.run(verify, input=download(f"dists/{SUITE}/InRelease"), capture_output=True)
    if done.returncode:
        sys.exit(f"InRelease of {SUITE} has no good signature:\n{done.stderr.decode()}")
    return done.stdout.decode()


def index_of(architecture, release):
    """The fields of each package, by its name."""
    name = f"main/binary-{architecture}/Packages.xz"
    sha256 = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", release, re.MULTILINE)[1]
    text = lzma.decompress(download(f"dists/{SUITE}/{name}", sha256)).decode()
    entries = (dict(re.findall(r"^([\w-]+): (.*)$", entry, re.MULTILINE)) for entry in text.split("\n\n"))
    return {entry["Package"]: entry for entry in entries if entry}


def closure(index, roots):
    """The names of these packages and of what they depend on. Of alternatives it takes the first."""
    names = {name.removesuffix("=") for name in roots}
    left = [name for name in roots if not name.endswith("=")]
    while left:
        depends = index[left.pop()].get("Depends", "")
        needed = {re.match(r"[^\s:|]+", one)[0] for one in depends.split(", ") if one} - names - NEVER
        names |= needed
        left += needed
    return sorted(names)


def unpack(into, wanted):
    release = signed_release()
    unpacked = []
    for architecture in dict.fromkeys(one.split(":")[0] for one in wanted):
        index = index_of(architecture, release)
        roots = [one.split(":")[1] for one in wanted if one.startswith(f"{architecture}:")]
        for name in closure(index, roots):
            package = index[name]
            content = download(package["Filename"], package["SHA256"])
            subprocess.run(["dpkg-deb", "--extract", "/dev/stdin", into], input=content, check=True)
            unpacked.append(f"{name} {package['Version']} {architecture}, {len(content)} bytes")
            print(f"    {unpacked[-1]}", flush=True)
    return unpacked


def main(into, *wanted):
    into = pathlib.Path(into)
    complete, heading = into / "packages.txt", f"{SUITE}: {' '.join(wanted)}"
    if complete.exists() and complete.read_text().startswith(f"{heading}\n"):
        print(f"    {into} has them already", flush=True)
        return
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    unpacked = unpack(into, wanted)
    complete.write_text("\n".join([heading, *unpacked]) + "\n")
    print(f"    {len(unpacked)} packages of {SUITE}: {downloaded / 1e6:.0f} MB downloaded", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
