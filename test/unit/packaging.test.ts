/** The Dockerfile, compose.yaml and the systemd unit: without faults, and saying what the documents promise. No engine, no systemd. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { DCLinter } from "dclint";
import { validate } from "dockerfile-utils";
import { parse } from "yaml";
import { contextFilter } from "../support/dockerignore.ts";
import { filesOf, imageSettings } from "../support/imageSteps.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const dockerfile = read("Dockerfile");
const settings = imageSettings(dockerfile);
const composeText = read("compose.yaml");
const manifest = JSON.parse(read("package.json")) as {
  readonly description: string;
  readonly license: string;
  readonly files: readonly string[];
  readonly devDependencies: Readonly<Record<string, string>>;
};

/** How long a stop may take at most before anything is lost: what the sample configuration gives to work under way, and the drain. */
function longestStopSeconds(): number {
  const grace = /^ {2}shutdown_grace: (\d+)s/m.exec(read("config.sample.yaml"))?.[1];
  const drain = /^const LONGEST_DRAIN_MS = (\d)_000;/m.exec(read("src/pipeline/stages.ts"))?.[1];
  assert.ok(grace !== undefined && drain !== undefined);
  return Number(grace) + Number(drain);
}

describe("the Dockerfile", () => {
  const faults = (text: string): string[] => validate(text).map(({ message }) => JSON.stringify(message));

  test("has no fault that the linter knows", () => assert.deepEqual(faults(dockerfile), []));

  test("would not pass with a fault", () => {
    assert.equal(faults(dockerfile.replace("--interval=", "--intervall=")).length, 1);
    assert.equal(faults(dockerfile.replace("WORKDIR /app", "WORKDIR app")).length, 1);
    assert.equal(faults(`${dockerfile}CMD ["node"]\n`).length, 1);
  });

  test("starts each stage from the Node of the development, by its full version", () => {
    const base = `node:${manifest.devDependencies["node"]}-bookworm-slim`;
    assert.deepEqual(new Set(settings.baseImages), new Set([base]));
    assert.ok(settings.baseImages.length > 1, "what was needed to build stays in a stage of its own");
  });

  test("runs the bot under a number that is nobody's, never as root", () => {
    const [uid, gid] = settings.user.split(":").map(Number);
    assert.ok(uid !== undefined && uid >= 10_000 && uid < 60_000, settings.user);
    assert.equal(gid, uid);
  });

  test("starts the bot itself, without a shell or npm before it that would keep SIGTERM", () => {
    assert.deepEqual(settings.entrypoint, ["node", "/app/dist/docket.mjs"]);
    assert.deepEqual(settings.command, ["start", "--config", "/etc/docket/config.yaml"]);
    assert.equal(settings.stopSignal, "SIGTERM");
  });

  test("asks for the health of the bot that it starts", () => {
    assert.ok(settings.healthcheck !== null);
    const [, ...config] = settings.command;
    assert.deepEqual(settings.healthcheck.command, [...settings.entrypoint, "health", ...config]);
    assert.deepEqual(Object.keys(settings.healthcheck.flags).sort(), [
      "interval",
      "retries",
      "start-period",
      "timeout",
    ]);
  });

  test("is labelled as package.json says", () => {
    assert.deepEqual(settings.labels, {
      "org.opencontainers.image.title": "Docket",
      "org.opencontainers.image.description": manifest.description,
      "org.opencontainers.image.licenses": manifest.license,
    });
  });
});

describe(".dockerignore", () => {
  const sent = contextFilter(read(".dockerignore"));

  test("holds back whatever is private: data, tokens, configurations, history", () => {
    const secret = [
      ".env",
      ".git/config",
      "config.yaml",
      "data/docket.db",
      "deployment/docket/config.yaml",
      "deployment/matrix_token",
      "node_modules/zod/package.json",
    ];
    assert.deepEqual(secret.filter(sent), []);
  });

  test("sends of the repository what is built, and no more", () => {
    const whole = readdirSync(root).filter(sent).sort();
    assert.deepEqual(whole, [".npmrc", "LICENSE", "package-lock.json", "package.json", "src", "tsconfig.json"]);
    const inside = ["demo", "devserver", "docs", "scripts", "test"].flatMap((folder) =>
      filesOf(join(root, folder)).map((file) => `${folder}/${file}`),
    );
    const stubs = filesOf(join(root, "scripts", "stubs")).map((file) => `scripts/stubs/${file}`);
    assert.deepEqual(inside.filter(sent), ["scripts/build.ts", ...stubs, "scripts/trimDependencies.ts"]);
  });

  test("is read as builders read it: the last line that fits the path or a folder above it decides", () => {
    const keeps = contextFilter("# a comment\n*\n!src/\n**/*.log\n!src/kept.log\n");
    const paths = ["README.md", "src/main.ts", "src/deep/er/main.ts", "src/deep/a.log", "src/kept.log", "srcs/main.ts"];
    assert.deepEqual(paths.filter(keeps), ["src/main.ts", "src/deep/er/main.ts", "src/kept.log"]);
  });
});

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly depends_on?: Readonly<Record<string, { condition: string }>>;
  readonly volumes: readonly string[];
  readonly secrets?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly read_only?: boolean;
  readonly security_opt: readonly string[];
  readonly stop_grace_period?: string;
  readonly healthcheck?: object;
  readonly restart: string;
}

describe("compose.yaml", () => {
  function lint(t: TestContext, text: string): string[] {
    const file = join(temporaryDirectory(t), "compose.yaml");
    writeFileSync(file, text);
    // Double quotes are Prettier's.
    const rules = { "require-quotes-in-ports": [2, { quoteType: "double" }] } as const;
    const linter = new DCLinter({ rules, quiet: true, debug: false, exclude: [] });
    // Its types can't be resolved from an ES module.
    const results = linter.lintFiles([file], false) as readonly { messages: readonly { rule: string }[] }[];
    return results.flatMap(({ messages }) => messages.map(({ rule }) => rule));
  }
  const compose = parse(composeText) as {
    services: Readonly<Record<"docket" | "homeserver", Service>>;
    volumes: object;
  };
  const { docket, homeserver } = compose.services;

  test("has no fault that the linter knows", (t) => assert.deepEqual(lint(t, composeText), []));

  test("would not pass with a fault", (t) => {
    const unpinned = composeText.replace(/(image: [\w/]+):.*/, "$1:latest");
    assert.deepEqual(lint(t, unpinned), ["service-image-require-explicit-tag"]);
    assert.deepEqual(lint(t, composeText.replace("127.0.0.1:8008", "8008")), ["no-unbound-port-interfaces"]);
    assert.deepEqual(lint(t, composeText.replace("read_only:", "readonly:")), ["invalid-schema"]);
  });

  test("gives the bot no right that it does not need, and nothing to write but its data", () => {
    assert.equal(docket.read_only, true);
    assert.deepEqual(docket.cap_drop, ["ALL"]);
    assert.deepEqual(docket.security_opt, ["no-new-privileges:true"]);
    const writable = docket.volumes.filter((volume) => !volume.endsWith(":ro"));
    assert.deepEqual(
      writable.map((volume) => volume.split(":")[1]),
      settings.volumes,
    );
    assert.deepEqual(Object.keys(compose.volumes), ["docket-data", "homeserver-data"]);
  });

  test("mounts the configuration where the image looks for it, and hands over no token", () => {
    const config = settings.command.at(-1) ?? "";
    const mounted = docket.volumes.find((volume) => volume.endsWith(":ro"))?.split(":")[1];
    assert.ok(mounted !== undefined && config.startsWith(`${mounted}/`));
    assert.equal(docket.secrets, undefined);
  });

  test("waits for the homeserver, and gives the bot the time that a stop may take", () => {
    assert.equal(docket.depends_on?.["homeserver"]?.condition, "service_healthy");
    assert.ok(homeserver.healthcheck !== undefined);
    assert.ok(Number.parseInt(docket.stop_grace_period ?? "", 10) >= longestStopSeconds() + 10);
  });

  test("names the homeserver's image by its full version", () => {
    assert.match(homeserver.image ?? "", /^matrixdotorg\/synapse:v\d+\.\d+\.\d+$/);
  });
});

describe("the systemd unit", () => {
  const text = read("packaging/systemd/docket.service");
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const sections = lines.filter((line) => line.startsWith("["));
  /** The values of each key, in order; a key may stand more than once. */
  const values = new Map<string, string[]>();
  for (const line of lines.filter((each) => !each.startsWith("["))) {
    const [, key = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? assert.fail(`no key: ${line}`);
    values.set(key, [...(values.get(key) ?? []), value]);
  }
  const value = (key: string): string => {
    const [only, ...more] = values.get(key) ?? [];
    assert.ok(only !== undefined && more.length === 0, `${key} stands once`);
    return only;
  };

  test("has its three sections, and lines that are all settings", () => {
    assert.deepEqual(sections, ["[Unit]", "[Service]", "[Install]"]);
    assert.ok(values.size > 40);
  });

  test("does not start again what somebody has to mend first: the codes of docs/errors.md", () => {
    const errors = read("docs/errors.md");
    const table = [...errors.matchAll(/^\| `(\d+)` /gm)].map((match) => match[1] ?? "").filter((code) => code !== "0");
    const told =
      /after ([\d, and]+), with a pause; not after [\d, and]+ \(systemd: `RestartPreventExitStatus=([\d ]+)`\)/.exec(
        errors,
      );
    const again = told?.[1]?.match(/\d+/g) ?? [];
    const never = told?.[2]?.split(" ") ?? [];
    assert.ok(never.length > 1);
    assert.deepEqual(value("RestartPreventExitStatus").split(" "), never);
    assert.deepEqual([...again, ...never].sort(), table.sort(), "each code is one or the other");
    assert.equal(value("Restart"), "on-failure");
    assert.ok(Number.parseInt(value("RestartSec"), 10) >= 5, "with a pause");
  });

  test("stops the bot by SIGTERM, waits longer than a stop may take, and reloads by SIGHUP", () => {
    assert.equal(value("KillSignal"), "SIGTERM");
    assert.ok(Number.parseInt(value("TimeoutStopSec"), 10) >= longestStopSeconds() + 10);
    assert.match(value("ExecReload"), /^\S+ -HUP \$MAINPID$/);
  });

  test("leaves the bot one folder to write, which nobody else can read", () => {
    assert.equal(value("DynamicUser"), "yes");
    assert.equal(value("StateDirectory"), "docket");
    assert.equal(value("StateDirectoryMode"), "0700");
    assert.equal(value("UMask"), "0077");
    assert.equal(value("ProtectSystem"), "strict");
    assert.ok(!values.has("ReadWritePaths"));
  });

  test("hands over no token, least of all in the environment", () => {
    assert.ok(!values.has("LoadCredential"));
    assert.deepEqual(
      [...values.keys()].filter((key) => /Environment/.test(key)),
      [],
    );
  });

  test("takes every right away but the network, and lets V8 make machine code", () => {
    for (const key of ["NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictNamespaces"])
      assert.equal(value(key), "yes", key);
    for (const key of ["CapabilityBoundingSet", "AmbientCapabilities"]) assert.equal(value(key), "", key);
    assert.equal(value("RestrictAddressFamilies"), "AF_INET AF_INET6 AF_UNIX");
    assert.deepEqual(values.get("SystemCallFilter"), ["@system-service", "~@privileged @resources"]);
    assert.equal(value("MemoryDenyWriteExecute"), "no");
    assert.equal(value("LimitCORE"), "0");
  });

  test("starts what the package installs, and is in the package", () => {
    assert.match(value("ExecStart"), /^\/opt\/docket\/bin\/docket start --config \/etc\/docket\/config\.yaml$/);
    assert.ok(manifest.files.includes("packaging/"));
    assert.ok(read("docs/deployment.md").includes("npm install --global --prefix /opt/docket "));
  });
});
