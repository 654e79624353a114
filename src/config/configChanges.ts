/**
 * What differs between two configurations, by the paths of the YAML, and what of it a running bot can take over. Pure; values are
 * never part of the result. A test holds the list to the schema.
 */
import type { Config } from "./config.ts";
import type { Proxies } from "./network.ts";
import { Secret } from "./secret.ts";

export interface ConfigChanges {
  /** Count from the next event on. */
  readonly live: readonly string[];
  /** Count from the next start on. */
  readonly restart: readonly string[];
}

type Read = (config: Config) => unknown;

/** Rules: the stages ask for them each time. */
const LIVE: Readonly<Record<string, Read>> = {
  "encryption.decrypt_from": ({ encryption }) => encryption.decryptFrom,
  "encryption.send_to": ({ encryption }) => encryption.sendTo,
  "encryption.verifiers": ({ encryption }) => encryption.verifiers,
  "encryption.plain_in_encrypted_room": ({ encryption }) => encryption.plainInEncryptedRoom,
  "encryption.wait_for_keys": ({ encryption }) => encryption.waitForKeysMs,
  "invites.accept": ({ invites }) => invites.accept,
  "invites.public_rooms": ({ invites }) => invites.publicRooms,
  "invites.max_rooms": ({ invites }) => invites.maxRooms,
  "invites.max_per_hour": ({ invites }) => invites.maxPerHour,
  "invites.decline": ({ invites }) => invites.decline,
  "invites.notice": ({ invites }) => invites.notice,
  "rooms.leave_when_alone": ({ rooms }) => rooms.leaveWhenAloneMs,
  "responses.dialects": ({ responses }) => responses.dialects,
  "responses.default_lifetime": ({ responses }) => responses.defaultLifetimeMs,
  "responses.max_lifetime": ({ responses }) => responses.maxLifetimeMs,
  "responses.send_margin": ({ responses }) => responses.sendMarginMs,
  "responses.unknown_types": ({ responses }) => responses.unknownTypes,
  "responses.warn_untrusted": ({ responses }) => responses.warnUntrusted,
  "receipts.rooms": ({ receipts }) => receipts.rooms,
  "receipts.prefer_stable": ({ receipts }) => receipts.preferStable,
  "capabilities.advertise": ({ capabilities }) => capabilities.advertise,
  "record.types": ({ record }) => record.types,
  // Where in the file a step stands makes no difference.
  handlers: ({ handlers }) =>
    handlers.map(({ steps, ...rest }) => ({ ...rest, steps: steps.map(({ name, options }) => ({ name, options })) })),
  log: ({ log }) => log,
};

/** Bound to the start: the account, the addresses, the data, the limits. */
const RESTART: Readonly<Record<string, Read>> = {
  homeserver: ({ homeserver }) => homeserver,
  "account.user": ({ account }) => account.user,
  "account.token": ({ account }) => account.token,
  // By its file where it has one: the first start writes that, which is no change of the operator's.
  "account.recovery_key": ({ account: { recoveryKey } }) => recoveryKey?.file ?? recoveryKey?.value ?? null,
  "account.password": ({ account }) => account.password,
  "account.create_identity": ({ account }) => account.createIdentity,
  "network.proxy": ({ network }) => new Secret(JSON.stringify([network.proxies, passwords(network.proxies)])),
  "network.certificate_authorities": ({ network }) => network.certificateAuthorities.certificates,
  "data.directory": ({ data }) => data.directory,
  "limits.handlers": ({ limits }) => limits.handlers,
  "limits.handlers_per_room": ({ limits }) => limits.handlersPerRoom,
  "limits.inbox": ({ limits }) => limits.inbox,
  "limits.parked": ({ limits }) => limits.parked,
  "limits.free_disk": ({ limits }) => limits.freeDiskBytes,
  "limits.settled_rows": ({ limits }) => limits.settledRowsMs,
  "limits.shutdown_grace": ({ limits }) => limits.shutdownGraceMs,
  "operations.listen": ({ operations }) => operations.listen,
  "operations.token": ({ operations }) => operations.token,
};

/** Every path that is compared; for the test. */
export const comparedPaths: readonly string[] = [...Object.keys(LIVE), ...Object.keys(RESTART)];

/**
 * @param started what the process was started with: what is bound to the start still stands as it was then
 * @param current what has counted until now
 * @param next what was read anew
 */
export function configChanges(started: Config, current: Config, next: Config): ConfigChanges {
  return { live: changed(LIVE, current, next), restart: changed(RESTART, started, next) };
}

function changed(paths: Readonly<Record<string, Read>>, before: Config, after: Config): readonly string[] {
  return Object.entries(paths).flatMap(([path, read]) => (same(read(before), read(after)) ? [] : [path]));
}

function passwords({ http, https }: Proxies): readonly unknown[] {
  return [http, https].map((proxy) => proxy?.authorization?.reveal());
}

function same(left: unknown, right: unknown): boolean {
  if (left instanceof Secret || right instanceof Secret)
    return left instanceof Secret && right instanceof Secret && left.reveal() === right.reveal();
  return JSON.stringify(left) === JSON.stringify(right);
}
