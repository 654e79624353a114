/**
 * The unstable features that this server has, by the names in `/versions`. What `/versions` says and what the server does
 * are one thing, and a test may change it while the server runs: a server is upgraded, or goes back to an older version.
 */
export const DELIVERY_RECEIPTS = "org.matrix.msc4089";
export const STATE_AFTER = "org.matrix.msc4222";
/** Profile fields under the unstable prefix, and under `/v3`. */
export const PROFILE_FIELDS_UNSTABLE = "uk.tcpip.msc4133";
export const PROFILE_FIELDS = "uk.tcpip.msc4133.stable";

const DEFAULTS = { [DELIVERY_RECEIPTS]: true, [PROFILE_FIELDS_UNSTABLE]: true, [PROFILE_FIELDS]: true };

export class Features {
  #flags: Readonly<Record<string, boolean>>;

  /** @param given what differs from the defaults */
  constructor(given: Readonly<Record<string, boolean>>) {
    this.#flags = { ...DEFAULTS, ...given };
  }

  has(name: string): boolean {
    return this.#flags[name] === true;
  }

  set(name: string, on: boolean): void {
    this.#flags = { ...this.#flags, [name]: on };
  }

  /** As `/versions` shows them; one that is off is there as `false`. */
  advertised(): Readonly<Record<string, boolean>> {
    return this.#flags;
  }
}
