/** From what the schema read to the Config: names and units of the code, paths made absolute, defaults that depend on other values. */
import { resolve } from "node:path";
import type { ConfigProblem } from "../errors.ts";
import type { Config, HandlerConfig, StepConfig } from "./config.ts";
import type { LocatedYaml } from "./locatedYaml.ts";
import type { NetworkSettings } from "./network.ts";
import type { ParsedConfig } from "./schema.ts";
import type { ParsedStep } from "./stepSchema.ts";
import { formatPath } from "./yamlPath.ts";

const DEFAULT_NOTICE =
  "I keep a record of what is sent in this room, and tell those who ask what became of their message.";

export function completeConfig(
  parsed: ParsedConfig,
  source: {
    readonly file: string;
    readonly baseDirectory: string;
    readonly document: LocatedYaml;
    readonly network: NetworkSettings;
    /** Absolute; null where the recovery key stands in no file of its own. */
    readonly recoveryKeyFile: string | null;
    readonly warnings: readonly ConfigProblem[];
  },
): Config {
  const { file, baseDirectory, document, network, recoveryKeyFile, warnings } = source;
  const { homeserver, account, data, encryption, invites, responses, receipts, record, limits, operations } = parsed;
  const handlers = parsed.handlers.map(({ types, match, ordered, steps }, handler): HandlerConfig => ({
    types,
    match: match ?? [],
    ordered,
    steps: steps.map((step, index) => locatedStep(step, handler, index, document)),
  }));
  return {
    file,
    baseDirectory,
    homeserver,
    account: {
      user: account.user,
      token: account.token ?? null,
      recoveryKey:
        account.recovery_key === undefined && recoveryKeyFile === null
          ? null
          : { value: account.recovery_key ?? null, file: recoveryKeyFile },
      password: account.password ?? null,
      createIdentity: account.create_identity,
    },
    data: { directory: resolve(baseDirectory, data.directory) },
    network,
    encryption: {
      decryptFrom: encryption.decrypt_from,
      sendTo: encryption.send_to,
      verifiers: encryption.verifiers,
      plainInEncryptedRoom: encryption.plain_in_encrypted_room,
      waitForKeysMs: encryption.wait_for_keys,
    },
    invites: {
      accept: invites.accept,
      publicRooms: invites.public_rooms,
      maxRooms: invites.max_rooms,
      maxPerHour: invites.max_per_hour,
      decline: invites.decline,
      // A bot that keeps nothing must not say that it does.
      notice: invites.notice === undefined ? (record.types.length > 0 ? DEFAULT_NOTICE : null) : invites.notice,
    },
    rooms: { leaveWhenAloneMs: parsed.rooms.leave_when_alone },
    responses: {
      dialects: responses.dialects,
      defaultLifetimeMs: responses.default_lifetime,
      maxLifetimeMs: responses.max_lifetime,
      sendMarginMs: responses.send_margin,
      unknownTypes: responses.unknown_types,
      warnUntrusted: responses.warn_untrusted,
    },
    receipts: { rooms: receipts.rooms, preferStable: receipts.prefer_stable },
    capabilities: parsed.capabilities,
    record,
    handlers,
    limits: {
      handlers: limits.handlers,
      handlersPerRoom: limits.handlers_per_room,
      inbox: limits.inbox,
      parked: limits.parked,
      freeDiskBytes: limits.free_disk,
      settledRowsMs: limits.settled_rows,
      shutdownGraceMs: limits.shutdown_grace,
    },
    operations: { listen: operations.listen, token: operations.token ?? null },
    log: parsed.log,
    warnings,
  };
}

/** A step with its place in the file. */
export function locatedStep(
  { name, options }: ParsedStep,
  handler: number,
  index: number,
  document: LocatedYaml,
): StepConfig {
  const path = ["handlers", handler, "steps", index];
  return { name, options, path: formatPath([...path, name]), ...document.placeOf(path) };
}
