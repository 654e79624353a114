/**
 * The steps of the Dockerfile without a container engine: each stage gets a folder that stands for its root, and COPY, RUN and WORKDIR
 * are done in there. What it can't do that way it refuses, so that a step can't go untested unnoticed.
 *
 * In place of the base image stands what the steps need of it: this Node, the machine's npm, and, empty, what else of the official image
 * the Dockerfile takes away. A RUN may not name an absolute path, since that would be one of this machine.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";
import {
  DockerfileParser,
  type From,
  type Instruction,
  type JSONInstruction,
  type ModifiableInstruction,
  type PropertyInstruction,
} from "dockerfile-ast";
import { contextFilter } from "./dockerignore.ts";

export interface Healthcheck {
  readonly command: readonly string[];
  /** `interval`, `timeout`, ... as they are written. */
  readonly flags: Readonly<Record<string, string>>;
}

/** What an image says about how it runs. */
export interface ImageSettings {
  readonly baseImages: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: Healthcheck | null;
  readonly user: string;
  readonly volumes: readonly string[];
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Image {
  /** The folder that stands for the root of the last stage. */
  readonly root: string;
  /** The RUN steps that were done, all stages together. */
  readonly ran: readonly string[];
}

const isRoot = process.getuid?.() === 0;
/** What the official image of Node has besides Node and npm. */
const restOfBase = [
  "opt/yarn-v1.22.22/bin/yarn",
  "usr/local/bin/docker-entrypoint.sh",
  "usr/local/bin/npx",
  "usr/local/bin/yarn",
  "usr/local/bin/yarnpkg",
  "usr/local/include/node/node.h",
  "usr/local/lib/node_modules/corepack/package.json",
];

function instructionsOf(dockerfile: string): Instruction[] {
  return DockerfileParser.parse(dockerfile).getInstructions();
}

/** @returns the words of a JSON array; null for the form that a shell would run */
function execForm(instruction: Instruction): string[] | null {
  const words = (instruction as JSONInstruction).getJSONStrings().map((word) => word.getJSONValue());
  return words.length === 0 ? null : words;
}

function required<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) throw new Error(`Dockerfile: ${what}`);
  return value;
}

/** @throws Error where ENTRYPOINT, CMD or HEALTHCHECK would run in a shell, or one of them is missing */
export function imageSettings(dockerfile: string): ImageSettings {
  const all = instructionsOf(dockerfile);
  const lastStage = all.slice(all.findLastIndex((each) => each.getKeyword() === "FROM"));
  const one = (keyword: string): Instruction | undefined => lastStage.find((each) => each.getKeyword() === keyword);
  const array = (keyword: string): string[] =>
    required(execForm(required(one(keyword), `no ${keyword}`)), `${keyword} runs in a shell`);
  const health = one("HEALTHCHECK") as ModifiableInstruction | undefined;
  const healthCommand = /^CMD\s+(\[.*\])\s*$/s.exec(health?.getArgumentsContent() ?? "")?.[1];
  const labels = lastStage.filter((each) => each.getKeyword() === "LABEL") as PropertyInstruction[];
  return {
    baseImages: all.filter((each) => each.getKeyword() === "FROM").map((each) => (each as From).getImage() ?? ""),
    entrypoint: array("ENTRYPOINT"),
    command: array("CMD"),
    healthcheck:
      health === undefined
        ? null
        : {
            command: JSON.parse(required(healthCommand, "HEALTHCHECK runs in a shell")) as string[],
            flags: Object.fromEntries(health.getFlags().map((flag) => [flag.getName(), flag.getValue() ?? ""])),
          },
    user: one("USER")?.getArgumentsContent() ?? "root",
    volumes: one("VOLUME") === undefined ? [] : array("VOLUME"),
    stopSignal: one("STOPSIGNAL")?.getArgumentsContent() ?? "",
    labels: Object.fromEntries(
      labels.flatMap((label) => label.getProperties().map((each) => [each.getName(), each.getValue() ?? ""])),
    ),
  };
}

interface Stage {
  readonly root: string;
  workingDirectory: string;
}

/**
 * Takes every step of a Dockerfile.
 * @param context the folder that would be sent to the builder
 * @param workshop an empty folder, for the roots of the stages
 * @throws Error a step that failed, or one that can't be taken here
 */
export function takeSteps(dockerfile: string, context: string, workshop: string): Image {
  const umask = process.umask(0o022);
  try {
    return takeAll(dockerfile, context, workshop);
  } finally {
    process.umask(umask);
  }
}

function takeAll(dockerfile: string, context: string, workshop: string): Image {
  const stages = new Map<string, Stage>();
  const ran: string[] = [];
  let stage: Stage | null = null;
  for (const instruction of instructionsOf(dockerfile)) {
    const keyword = instruction.getKeyword();
    if (keyword === "FROM") {
      const name = (instruction as From).getBuildStage() ?? "result";
      stage = { root: join(workshop, name), workingDirectory: "/" };
      stages.set(name, stage);
      layBase(stage.root, workshop);
      continue;
    }
    const current = required(stage, `${keyword} before FROM`);
    if (keyword === "WORKDIR") {
      current.workingDirectory = instruction.getArgumentsContent() ?? "/";
      mkdirSync(join(current.root, current.workingDirectory), { recursive: true });
    } else if (keyword === "COPY") copy(instruction as ModifiableInstruction, current, stages, context);
    else if (keyword === "RUN") ran.push(run(instruction as ModifiableInstruction, current));
    else if (keyword === "ARG") leaveOpen(instruction);
    else if (!["CMD", "ENTRYPOINT", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER", "VOLUME"].includes(keyword)) {
      throw new Error(`Dockerfile: ${keyword} is a step that the test does not know`);
    }
  }
  return { root: required(stage, "no FROM").root, ran };
}

/** An argument without a default sets nothing, unless somebody gives it. */
function leaveOpen(argument: Instruction): void {
  const text = argument.getArgumentsContent() ?? "";
  if (!/^\w+$/.test(text)) throw new Error(`Dockerfile: ARG ${text}: the test knows none with a default`);
}

function layBase(root: string, workshop: string): void {
  const bin = join(root, "usr", "local", "bin");
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(root, "tmp"));
  const node = join(workshop, "node");
  if (!existsSync(node)) copyFileSync(process.execPath, node);
  linkSync(node, join(bin, "node"));
  const machineNpm = required(
    (process.env["PATH"] ?? "")
      .split(delimiter)
      .map((folder) => join(folder, "npm"))
      .find((file) => existsSync(file)),
    "there is no npm on this machine",
  );
  const npm = join(root, "usr", "local", "lib", "node_modules", "npm", "npm.sh");
  put(npm, `#!/bin/sh\nexec '${machineNpm}' "$@"\n`);
  chmodSync(npm, 0o755);
  for (const name of ["npm", "corepack"]) symlinkSync(relative(bin, npm), join(bin, name));
  for (const file of restOfBase) put(join(root, file), "");
}

function put(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function run(instruction: ModifiableInstruction, { root, workingDirectory }: Stage): string {
  const step = instruction.getArgumentsContent() ?? "";
  if (instruction.getFlags().length > 0 || /<</.test(step))
    throw new Error(`Dockerfile: RUN with more than a command: ${step}`);
  if (/(^|[\s"'=;&|(>])\/|\.\.|~/.test(step)) throw new Error(`Dockerfile: RUN must not leave its WORKDIR: ${step}`);
  // Only root can give files away; where the test is not root, all files are its own, and so is the bot's process.
  const shims = join(dirname(root), "shims");
  if (!isRoot && !existsSync(shims)) {
    put(join(shims, "chown"), "#!/bin/sh\n");
    chmodSync(join(shims, "chown"), 0o755);
  }
  const path = [...(isRoot ? [] : [shims]), join(root, "usr", "local", "bin"), process.env["PATH"] ?? ""];
  const result = spawnSync("/bin/sh", ["-c", step], {
    cwd: join(root, workingDirectory),
    env: { ...process.env, PATH: path.join(delimiter), npm_config_prefer_offline: "true" },
    encoding: "utf8",
    timeout: 120_000,
  });
  if (result.status !== 0) throw new Error(`Dockerfile: RUN ${step}: ${result.stdout}\n${result.stderr}`);
  return step;
}

function copy(
  instruction: ModifiableInstruction,
  { root, workingDirectory }: Stage,
  stages: ReadonlyMap<string, Stage>,
  context: string,
): void {
  const flags = new Map(instruction.getFlags().map((flag) => [flag.getName(), flag.getValue() ?? ""]));
  const words = instruction.getArguments().map((argument) => argument.getValue());
  const unknown = [...flags.keys()].filter((name) => name !== "from" && name !== "chmod");
  if (unknown.length > 0 || words.some((word) => /[*?[$"]|\.\./.test(word)))
    throw new Error(`Dockerfile: COPY ${words.join(" ")}: the test does not know how`);
  const from = flags.get("from");
  const source = from === undefined ? context : required(stages.get(from), `no stage ${from}`).root;
  const ignore = join(context, ".dockerignore");
  const sent = from === undefined && existsSync(ignore) ? contextFilter(readFileSync(ignore, "utf8")) : () => true;
  const target = words.pop() ?? "";
  if (!target.endsWith("/")) throw new Error(`Dockerfile: COPY to ${target}: a folder ends with /`);
  const into = target.startsWith("/") ? join(root, target) : join(root, workingDirectory, target);
  for (const word of words) {
    const path = join(source, word);
    const isFolder = statSync(path).isDirectory();
    const files = isFolder ? filesOf(path) : [""];
    const taken = files.filter((file) => sent(relative(source, join(path, file))));
    if (taken.length === 0)
      throw new Error(`Dockerfile: COPY ${word}: there is nothing, or .dockerignore holds it back`);
    for (const file of taken) {
      const to = isFolder ? join(into, file) : join(into, relative(dirname(path), path));
      copyFile(join(path, file), to, flags.get("chmod"));
    }
  }
}

function copyFile(from: string, to: string, mode: string | undefined): void {
  mkdirSync(dirname(to), { recursive: true });
  if (lstatSync(from).isSymbolicLink()) {
    symlinkSync(readlinkSync(from), to);
    return;
  }
  copyFileSync(from, to);
  chmodSync(to, mode === undefined ? statSync(from).mode & 0o777 : Number.parseInt(mode, 8));
}

/** @returns the files and links below a folder, relative to it, in order */
export function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}
