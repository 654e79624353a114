/** One Synapse on data of its own, with what a test may do to it; synapse.ts starts it with the packages that it needs. */
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeSynapseConfig, type RateLimits } from "./synapseConfig.ts";
import { SynapseDidNotStart, SynapseProcess, freePort } from "./synapseProcess.ts";

/** Another program may take the port between its choice and the start. */
const PORT_ATTEMPTS = 5;

export interface SynapseOptions {
  /** `raised` by default. */
  readonly rateLimits?: RateLimits;
  /** `localhost` by default. */
  readonly serverName?: string;
  /** Top-level settings of homeserver.yaml that replace those of synapseConfig.ts. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

export interface Account {
  readonly userId: string;
  readonly accessToken: string;
  readonly deviceId: string;
}

export interface Synapse {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly serverName: string;
  /** As the server says it. */
  readonly version: string;
  /** Where its packages are unpacked: what else is in them can be started with `startPython`. */
  readonly root: string;
  /** Of an administrator, `@admin`, that the start has registered. */
  readonly adminToken: string;
  /** Goes with `stop`. */
  readonly logFile: string;
  readonly pid: number;
  /** Registers a user by the shared secret and signs a device in. @throws Error with the server's answer */
  registerUser(name: string, password: string, options?: { admin?: boolean; deviceId?: string }): Promise<Account>;
  /** The process stands still: requests hang. */
  pause(): void;
  resume(): void;
  /** The process ends, its data stay: connections are refused until `up`. */
  down(): Promise<void>;
  /** After `down`: on the same address. */
  up(): Promise<void>;
  /** `down` and `up`. */
  restart(): Promise<void>;
  /** Ends the process and deletes its data. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts it from packages that are unpacked in `root`.
 * @throws Error it did not start, with the end of its log
 */
export async function startSynapseIn(root: string, options: SynapseOptions = {}): Promise<Synapse> {
  const directory = mkdtempSync(join(tmpdir(), "docket-synapse-"));
  const secret = randomBytes(24).toString("base64url");
  const serverName = options.serverName ?? "localhost";
  const logFile = join(directory, "homeserver.log");
  const removeData = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    for (let attempt = 1; ; attempt += 1) {
      const port = await freePort();
      const baseUrl = `http://127.0.0.1:${port}`;
      const configFile = writeSynapseConfig({
        directory,
        serverName,
        port,
        registrationSecret: secret,
        rateLimits: options.rateLimits ?? "raised",
        overrides: options.overrides ?? {},
      });
      try {
        const run = (): Promise<SynapseProcess> => SynapseProcess.start(root, configFile, baseUrl, logFile);
        return await serverOn({ root, baseUrl, serverName, secret, logFile, process: await run(), run, removeData });
      } catch (error) {
        if (!(error instanceof SynapseDidNotStart && error.portWasTaken) || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  } catch (error) {
    removeData();
    throw error;
  }
}

interface Parts {
  readonly root: string;
  readonly baseUrl: string;
  readonly serverName: string;
  readonly secret: string;
  readonly logFile: string;
  readonly process: SynapseProcess;
  readonly run: () => Promise<SynapseProcess>;
  readonly removeData: () => void;
}

async function serverOn(parts: Parts): Promise<Synapse> {
  const { baseUrl, secret } = parts;
  let process = parts.process;
  try {
    const password = randomBytes(24).toString("base64url");
    // Only the server of this start knows the secret: this also shows that it is the one that has the port.
    const admin = await register(baseUrl, secret, { username: "admin", password, admin: true });
    const { server_version: version } = await ask(baseUrl, "GET", "/_synapse/admin/v1/server_version");
    return {
      ...parts,
      version: String(version),
      adminToken: admin.accessToken,
      get pid() {
        return process.pid;
      },
      registerUser: (username, userPassword, { admin: isAdmin = false, deviceId } = {}) =>
        register(baseUrl, secret, {
          username,
          password: userPassword,
          admin: isAdmin,
          ...(deviceId === undefined ? {} : { device_id: deviceId }),
        }),
      pause: () => process.pause(),
      resume: () => process.resume(),
      down: () => process.stop(),
      async up() {
        if (!process.running) process = await parts.run();
      },
      async restart() {
        await process.stop();
        process = await parts.run();
      },
      async stop() {
        await process.kill();
        parts.removeData();
      },
    };
  } catch (error) {
    await process.kill();
    throw error;
  }
}

interface Registration {
  readonly username: string;
  readonly password: string;
  readonly admin: boolean;
  readonly device_id?: string;
}

/** Synapse's own way for administrators: a nonce, and a MAC over what is asked for with the shared secret. */
async function register(baseUrl: string, secret: string, registration: Registration): Promise<Account> {
  const path = "/_synapse/admin/v1/register";
  const { username, password, admin } = registration;
  const { nonce } = await ask(baseUrl, "GET", path);
  const mac = createHmac("sha1", secret)
    .update([nonce, username, password, admin ? "admin" : "notadmin"].join("\0"))
    .digest("hex");
  const made = await ask(baseUrl, "POST", path, { ...registration, nonce, mac });
  return {
    userId: String(made["user_id"]),
    accessToken: String(made["access_token"]),
    deviceId: String(made["device_id"]),
  };
}

async function ask(baseUrl: string, method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const response = await fetch(baseUrl + path, {
    method,
    headers: { "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`Synapse answered ${response.status} to ${method} ${path}: ${answer}`);
  return JSON.parse(answer) as Record<string, unknown>;
}
