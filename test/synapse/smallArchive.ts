/** An archive of Debian packages in a directory, small enough for a test: packages with one program, which prints its version or fails. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NAME = "docket-probe";
/** In the archive's one package; from the root of a set. */
const PROGRAM = "usr/share/docket-probe/program";

export interface SmallArchive {
  /** Its stanza, trusted without a signature, and the names of its packages: what `preparePackages` wants. */
  readonly wanted: { stanzas: string[]; names: string[] };
  /** Replaces what is in the archive. A package that does not work has a program that fails. */
  publish(version: string, works?: boolean): void;
  /** From now on it is not there. */
  close(): void;
}

/** @param parts how many packages the one package needs: what makes unpacking take a moment */
export function makeArchive(directory: string, parts = 0): SmallArchive {
  const folder = join(directory, "archive");
  const needed = Array.from({ length: parts }, (_, index) => `${NAME}-part${index}`);
  const stanza = `Types: deb\nURIs: copy:${folder}\nSuites: sid\nComponents: main\nTrusted: yes\n`;
  return {
    wanted: { stanzas: [stanza], names: [NAME] },
    publish(version, works = true) {
      rmSync(folder, { recursive: true, force: true });
      const lists = join(folder, "dists/sid/main/binary-all");
      mkdirSync(lists, { recursive: true });
      mkdirSync(join(folder, "pool"));
      const build = (name: string, depends: readonly string[], file: string, content: string): string => {
        const tree = join(directory, "tree");
        rmSync(tree, { recursive: true, force: true });
        mkdirSync(join(tree, "DEBIAN"), { recursive: true });
        const control = [
          `Package: ${name}`,
          `Version: ${version}`,
          "Architecture: all",
          "Maintainer: nobody <nobody@example.org>",
          ...(depends.length === 0 ? [] : [`Depends: ${depends.join(", ")}`]),
          "Description: a package for a test",
        ].join("\n");
        writeFileSync(join(tree, "DEBIAN/control"), `${control}\n`);
        // Whoever runs a script of a package fails the test.
        writeFileSync(join(tree, "DEBIAN/postinst"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
        mkdirSync(join(tree, file, ".."), { recursive: true });
        writeFileSync(join(tree, file), content, { mode: 0o755 });
        const deb = join("pool", `${name}_${version}_all.deb`);
        execFileSync("dpkg-deb", ["--root-owner-group", "--build", tree, join(folder, deb)], { stdio: "ignore" });
        const bytes = readFileSync(join(folder, deb));
        return `${control}\nFilename: ${deb}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n`;
      };
      const entries = [
        build(NAME, needed, PROGRAM, works ? `echo ${version}\n` : "echo it does not start >&2; exit 3\n"),
        ...needed.map((name) => build(name, [], `usr/share/${NAME}/${name}`, version)),
      ];
      const packages = Buffer.from(entries.join("\n"));
      writeFileSync(join(lists, "Packages"), packages);
      const release = [
        "Suite: sid",
        "Codename: sid",
        "Architectures: all amd64 arm64",
        "Components: main",
        `Date: ${new Date().toUTCString()}`,
        "SHA256:",
        ` ${sha256(packages)} ${packages.length} main/binary-all/Packages`,
      ].join("\n");
      writeFileSync(join(folder, "dists/sid/Release"), `${release}\n`);
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Runs the program of a set. @returns what it prints @throws Error with its words */
export function runProgram(root: string): string {
  return execFileSync("sh", [join(root, PROGRAM)], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** How many files the packages have put beside the program. */
export function filesIn(root: string): number {
  return readdirSync(join(root, PROGRAM, "..")).length;
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
