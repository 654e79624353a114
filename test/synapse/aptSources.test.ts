/** The archive that this machine's apt is set up for, whatever way that is written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDeb822, parseOneLine, stanzasFor } from "./aptSources.ts";

test("the archive of a deb822 file is found in its stanzas, with its key, whether that is a file or stands in the stanza", () => {
  const text = `
# A remark
Types: deb deb-src
URIs: https://archive.example/debian
# Another one, inside
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: https://archive.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: https://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: https://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://other.example/tool
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEabc
 -----END PGP PUBLIC KEY BLOCK-----
`;
  const sources = parseDeb822(text);
  assert.deepEqual(
    sources.map(({ uri }) => uri),
    ["https://archive.example/debian", "https://archive.example/debian-security", "https://other.example/tool"],
  );
  assert.deepEqual(stanzasFor("sid", sources, "bookworm"), [
    "Types: deb\nURIs: https://archive.example/debian\nSuites: sid\nComponents: main\nSigned-By: /usr/share/keyrings/archive.gpg\n",
    "Types: deb\nURIs: https://other.example/tool\nSuites: sid\nComponents: main\nSigned-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEabc\n -----END PGP PUBLIC KEY BLOCK-----\n",
  ]);
});

test("the archive of a file of lines is found with its options", () => {
  const text = `
deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/archive.gpg] http://archive.example/debian trixie main contrib # ours
deb-src http://archive.example/debian trixie main
# deb http://off.example/debian trixie main
deb http://archive.example/debian-security trixie-security main
deb http://flat.example/packages ./
`;
  assert.deepEqual(stanzasFor("sid", parseOneLine(text), "trixie"), [
    "Types: deb\nURIs: http://archive.example/debian\nSuites: sid\nComponents: main\nArchitectures: amd64 arm64\nSigned-By: /usr/share/keyrings/archive.gpg\n",
  ]);
});

test("an archive whose suite is named after a release is asked before another vendor's", () => {
  const text = "deb http://vendor.example/ any main\ndeb http://archive.example/debian bookworm main\n";
  const [first = "", second = ""] = stanzasFor("sid", parseOneLine(text), "bookworm");
  assert.match(first, /archive\.example/);
  assert.match(second, /vendor\.example/);
});
