/**
 * The unstable features that this server has, by the names in `/versions`. What `/versions` says and what the server does
 * are one thing, and a test may change it while the server runs: a server is upgraded, or goes back to an older version.
 */
export const DELIVERY_RECEIPTS = "org.matrix.msc4089";
export const STATE_AFTER = "org.matrix.msc4222";

const DEFAULTS = { [DELIVERY_RECEIPTS]: true };

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
