/**
 * Packages of one suite by apt and dpkg, with nothing installed: apt works on a state of its own that knows no installed package,
 * checks the archive's signature and each file's hash as it always does, and downloads; dpkg-deb unpacks. No root, and no script
 * of a package runs.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, userInfo } from "node:os";
import { join } from "node:path";

/** Far above what a slow line takes; an archive that hangs ends all the same. */
const APT_LIMIT_MS = 300_000;

export interface PackagesWanted {
  /** deb822 stanzas; the first whose archive has the suite is used. */
  readonly stanzas: readonly string[];
  /** Names of packages; what they depend on comes along. */
  readonly names: readonly string[];
  /** Holds apt's state and downloads. */
  readonly folder: string;
}

/** The packages that apt would take today. */
export interface Offer {
  /** The same for the same packages in the same versions. */
  readonly id: string;
  readonly count: number;
  /** Downloads and unpacks all of them into `root`, which need not exist. */
  unpackInto(root: string): Promise<void>;
  /** Deletes what was downloaded. */
  forgetDownloads(): void;
}

/**
 * Asks the archive.
 * @throws Error with apt's own words: no archive reached, a signature that does not hold, a package that is not there
 */
export async function askArchive(wanted: PackagesWanted): Promise<Offer> {
  const apt = new PrivateApt(wanted.folder);
  const failures: string[] = [];
  for (const stanza of wanted.stanzas) {
    try {
      return await offerOf(apt, stanza, wanted.names);
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(failures.join("\n") || "no archive to ask");
}

async function offerOf(apt: PrivateApt, stanza: string, names: readonly string[]): Promise<Offer> {
  apt.use(stanza);
  await apt.run("apt-get", "--error-on=any", "update");
  const install = ["install", "--yes", "--no-remove", ...names];
  // It names only what is not there yet, such as after a run that was killed: so it looks where nothing ever is.
  const elsewhere = ["--option", `Dir::Cache::Archives=${apt.emptyFolder}`];
  const planned = await apt.run("apt-get", ...elsewhere, "--print-uris", ...install);
  // 'URI' FILE SIZE HASH, the hash only where the archive is signed.
  const files = [...planned.matchAll(/^'[^']*' (\S+) \d+ (\S*)$/gm)].map(([, name = "", hash = ""]) => ({
    name,
    hash,
  }));
  if (files.length === 0) throw new Error(`apt has nothing to download for ${names.join(" ")}`);
  const lines = files.map(({ name, hash }) => `${name} ${hash}`).sort();
  return {
    id: createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16),
    count: files.length,
    unpackInto: async (root) => {
      await apt.run("apt-get", "--download-only", ...install);
      await unpackAll(
        files.map(({ name }) => join(apt.downloadFolder, name)),
        root,
      );
    },
    forgetDownloads: () => apt.forgetDownloads(),
  };
}

async function unpackAll(packages: readonly string[], root: string): Promise<void> {
  mkdirSync(root, { recursive: true });
  const left = packages.toReversed();
  const worker = async (): Promise<void> => {
    for (let file = left.pop(); file !== undefined; file = left.pop()) {
      await output("dpkg-deb", ["--extract", file, root], process.env);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, worker));
}

class PrivateApt {
  readonly #folder: string;
  readonly #config: string;
  readonly downloadFolder: string;
  readonly emptyFolder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.downloadFolder = join(folder, "cache/archives");
    this.emptyFolder = join(folder, "cache/nothing");
    this.#config = join(folder, "apt.conf");
    for (const part of ["sources", "state/lists/partial", "cache/archives/partial", "cache/nothing/partial"]) {
      mkdirSync(join(folder, part), { recursive: true });
    }
    // Empty: as far as this apt knows nothing is installed, so everything that is needed comes.
    writeFileSync(join(folder, "state/status"), "");
    const settings = {
      "Dir::Etc::SourceList": "/dev/null",
      "Dir::Etc::SourceParts": join(folder, "sources"),
      "Dir::Etc::Preferences": "/dev/null",
      "Dir::Etc::PreferencesParts": "/dev/null",
      "Dir::State": join(folder, "state"),
      "Dir::State::status": join(folder, "state/status"),
      "Dir::Cache": join(folder, "cache"),
      "Dir::Cache::pkgcache": "",
      "Dir::Cache::srcpkgcache": "",
      "APT::Install-Recommends": "false",
      "APT::Install-Suggests": "false",
      "APT::Sandbox::User": userInfo().username,
      "Acquire::Languages": "none",
      "Acquire::Retries": "2",
      "Acquire::http::Timeout": "20",
      "Acquire::https::Timeout": "20",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
    // Whatever the host runs after an update of its own lists has no business here.
    const clear = [
      "APT::Update::Post-Invoke",
      "APT::Update::Post-Invoke-Success",
      "APT::Update::Pre-Invoke",
      "DPkg::Post-Invoke",
    ];
    writeFileSync(this.#config, `${[...lines, ...clear.map((name) => `#clear ${name};`)].join("\n")}\n`);
  }

  use(stanza: string): void {
    writeFileSync(join(this.#folder, "sources/archive.sources"), stanza);
  }

  run(program: string, ...args: readonly string[]): Promise<string> {
    // Read after the host's own files, so that its proxies, keys and credentials stay in force.
    return output(program, ["--config-file", this.#config, "-qq", ...args], { ...process.env, LC_ALL: "C.UTF-8" });
  }

  forgetDownloads(): void {
    for (const name of readdirSync(this.downloadFolder)) {
      if (name.endsWith(".deb")) rmSync(join(this.downloadFolder, name), { force: true });
    }
  }
}

/** @throws Error naming the program, and the end of what it wrote to standard error */
function output(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], timeout: APT_LIMIT_MS });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", (error) => reject(new Error(`${program} did not start: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${program} failed (${signal ?? `exit code ${code}`}): ${stderr.trim().slice(-1500)}`));
    });
  });
}
