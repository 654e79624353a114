/** Python as it is unpacked in a set: started through the set's own loader, with the set's own libraries, whatever the host has. */
import { type ChildProcess, spawn } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const END_WITH_PARENT = fileURLToPath(new URL("endWithParent.py", import.meta.url));

export interface PythonStart {
  /** A script and its arguments, or `-m`, a module and its arguments. */
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** As for `spawn`; by default standard input is empty, and both outputs are pipes. */
  readonly stdin?: "ignore" | "pipe";
  readonly stdout?: "pipe" | "inherit" | number;
  readonly stderr?: "pipe" | "inherit" | number;
}

/**
 * Starts Python. The process ends with this one, however this one ends.
 * @param root where the packages are unpacked
 * @throws Error the set has no loader, library folder or Python
 */
export function startPython(root: string, start: PythonStart): ChildProcess {
  const loader = only(root, "usr/lib{,64,/*-linux-gnu*}/ld-linux*.so.*");
  const libraries = only(root, "usr/lib/*-linux-gnu*");
  const python = join(root, "usr/bin/python3");
  const child = spawn(
    loader,
    ["--argv0", python, "--library-path", libraries, python, END_WITH_PARENT, ...start.args],
    {
      cwd: start.cwd ?? root,
      // Nothing of the caller's own Python settings; PYTHONDONTWRITEBYTECODE would make every start slow.
      env: { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", PYTHONHOME: join(root, "usr"), ...start.env },
      stdio: [start.stdin ?? "ignore", start.stdout ?? "pipe", start.stderr ?? "pipe", "pipe"],
    },
  );
  // The pipe says by closing that this process has ended; nothing is read from it.
  child.stdio[3]?.on("error", () => undefined);
  return child;
}

function only(root: string, pattern: string): string {
  const [found] = globSync(pattern, { cwd: root }).sort();
  if (found === undefined) throw new Error(`no ${pattern} in ${root}`);
  return join(root, found);
}
