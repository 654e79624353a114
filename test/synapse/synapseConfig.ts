/** The configuration of a Synapse for tests: SQLite, one listener on 127.0.0.1, no federation, nothing that asks other machines. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** High enough for whatever a test does; `default` leaves Synapse's own. */
export type RateLimits = "raised" | "default";

export interface SynapseSettings {
  /** Holds all of it: configuration, database, keys, media. */
  readonly directory: string;
  readonly serverName: string;
  readonly port: number;
  readonly registrationSecret: string;
  readonly rateLimits: RateLimits;
  /** Top-level settings of homeserver.yaml that replace these. */
  readonly overrides: Readonly<Record<string, unknown>>;
}

const PLENTY = { per_second: 10_000, burst_count: 100_000 };
const RAISED = {
  rc_message: PLENTY,
  rc_registration: PLENTY,
  rc_login: { address: PLENTY, account: PLENTY, failed_attempts: PLENTY },
  rc_joins: { local: PLENTY, remote: PLENTY },
  rc_joins_per_room: PLENTY,
  rc_invites: { per_room: PLENTY, per_user: PLENTY, per_issuer: PLENTY },
  rc_key_requests: PLENTY,
  rc_media_create: PLENTY,
  rc_room_creation: PLENTY,
  rc_user_directory: PLENTY,
  rc_admin_redaction: PLENTY,
};

/** @returns the path of homeserver.yaml; the signing key and the logging settings are written beside it */
export function writeSynapseConfig(settings: SynapseSettings): string {
  const { directory, serverName, port } = settings;
  mkdirSync(directory, { recursive: true });
  const at = (name: string): string => join(directory, name);
  // By hand: the generator that comes with 1.160 fails.
  writeFileSync(at("signing.key"), `ed25519 a_test ${randomBytes(32).toString("base64").replace(/=+$/, "")}\n`, {
    mode: 0o600,
  });
  const format = "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s";
  const logging = {
    version: 1,
    formatters: { line: { format } },
    handlers: { out: { class: "logging.StreamHandler", formatter: "line", stream: "ext://sys.stdout" } },
    root: { level: "INFO", handlers: ["out"] },
    disable_existing_loggers: false,
  };
  // JSON is YAML.
  writeFileSync(at("logging.yaml"), JSON.stringify(logging, null, 2));
  const config = {
    server_name: serverName,
    public_baseurl: `http://127.0.0.1:${port}/`,
    report_stats: false,
    listeners: [
      {
        port,
        bind_addresses: ["127.0.0.1"],
        type: "http",
        tls: false,
        resources: [{ names: ["client"], compress: false }],
      },
    ],
    database: { name: "sqlite3", args: { database: at("homeserver.db") } },
    log_config: at("logging.yaml"),
    media_store_path: at("media"),
    signing_key_path: at("signing.key"),
    registration_shared_secret: settings.registrationSecret,
    macaroon_secret_key: randomBytes(24).toString("base64url"),
    form_secret: randomBytes(24).toString("base64url"),
    bcrypt_rounds: 4,
    trusted_key_servers: [],
    federation_domain_whitelist: [],
    presence: { enabled: false },
    // A repeated initial sync would otherwise be two minutes old.
    caches: { sync_response_cache_duration: "0s" },
    ...(settings.rateLimits === "raised" ? RAISED : {}),
    ...settings.overrides,
  };
  writeFileSync(at("homeserver.yaml"), JSON.stringify(config, null, 2), { mode: 0o600 });
  return at("homeserver.yaml");
}
